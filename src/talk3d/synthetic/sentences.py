"""What synthetic people say, by language, and the espeak-ng voices that say it."""

__all__ = ["LANGUAGES", "SENTENCES", "VOICES"]

SENTENCES: dict[str, tuple[str, ...]] = {
    "English": (
        "Good morning, and thank you for joining me today.",
        "My mother bought five big apples at the village market.",
        "Please move the blue boat before the wave brings it back.",
        "We never found out why the old clock stopped at noon.",
        "Both brothers played football in the park until it was dark.",
        "She showed us a short film about whales in the northern sea.",
        "If you push the button twice, the lamp will slowly fade.",
        "The judge asked who had opened the window in the hall.",
        "Five very fine voices filled the valley with a familiar song.",
        "I would rather walk home than wait for another bus.",
        "The baker put warm bread, butter and plum jam on the table.",
        "Our garden is full of yellow roses, and bees love them.",
        "Why did the young man choose such a huge grey coat?",
        "A quick brown fox jumps over the lazy dog, they say.",
        "Maybe we should leave early, because the roads may be busy.",
        "The chef cooked mushrooms and fresh fish for the whole group.",
        "Three thin thieves thought a thousand thoughts on Thursday.",
        "Could you read that number again: six, eleven, forty two?",
        "My neighbour's piano is out of tune, but I like the sound.",
        "Wool, cheese, papa, mama, baby: watch how the lips meet.",
        "The museum opens at nine, and the first hour is free.",
        "He promised to bring the map, the rope and a pair of boots.",
        "Snow fell all night, and by dawn the hills were white.",
        "You choose the music, and I will choose the movie.",
        "Usually the pleasure of a journey lies in the unexpected.",
        "Few people remember the name of the bridge builder.",
        "Put the pepper back beside the blue bowl, please.",
        "What a wonderful view we have from up here!",
        "The doctor gave her patient very simple advice.",
        "Oh no, I forgot to water the flowers on the balcony.",
    ),
    "German": (
        "Guten Morgen, schön, dass Sie heute gekommen sind.",
        "Meine Mutter backt am Abend einen Apfelkuchen mit Butter.",
        "Zwölf Boxkämpfer jagen Viktor quer über den großen Deich.",
        "Bitte bringen Sie mir fünf Blumen und ein blaues Band.",
        "Im Frühling blühen überall im Park die ersten Bäume.",
        "Vielleicht fahren wir am Wochenende ans Meer.",
        "Der alte Mann wohnt über der kleinen Bäckerei.",
        "Ich habe vergessen, warum wir so früh aufgebrochen sind.",
    ),
    "Spanish": (
        "Buenos días, muchas gracias por venir esta mañana.",
        "Mi madre compra pan, manzanas y una botella de vino.",
        "Los niños juegan en la calle con un perro pequeño.",
        "Por favor, abre la puerta y baja la ventana.",
        "El barco blanco vuelve al puerto por la noche.",
        "Me gusta mucho la música que suena en la plaza.",
        "Nunca supimos por qué el reloj se paró a las nueve.",
        "Quiero beber un vaso de agua fría, por favor.",
    ),
    "Italian": (
        "Buongiorno, e grazie per essere venuti questa mattina.",
        "Mia madre compra il pane e cinque mele al mercato.",
        "I bambini giocano a palla davanti alla vecchia fabbrica.",
        "Vorrei bere un bicchiere di acqua fresca, per favore.",
        "La primavera arriva sempre prima vicino al mare.",
        "Abbiamo dimenticato la mappa e una bottiglia di vino.",
        "Un piccolo gatto bianco dorme sopra il pianoforte.",
        "Mi piace molto la musica che suonano in piazza.",
    ),
}
"""Sentences by language."""

VOICES: dict[str, tuple[str, ...]] = {
    "English": (
        "en-us", "en-us+m1", "en-us+m3", "en-us+m7", "en-us+f1", "en-us+f2",
        "en-us+f4", "en", "en+m2", "en+f3", "en-gb-x-rp", "en-gb-x-rp+f1",
        "en-gb-scotland", "en-029",
    ),
    "German": ("de", "de+m3", "de+f2", "de+f4"),
    "Spanish": ("es", "es+m3", "es+f2", "es-419+f1"),
    "Italian": ("it", "it+m3", "it+f2", "it+f4"),
}  # fmt: skip
"""espeak-ng voices by language; ``+m``, ``+f`` are variants of men and women."""

LANGUAGES = ("English", "English", "English", "German", "Spanish", "Italian")
"""Drawn from; English is drawn half the time."""
