// Lash cards: three lower strips, then three upper ones; v = 1 at the root.
uniform float lashLength;

Surface lashSurface(vec3 n) {
  float q = (T.y - 0.012) / 0.1635;
  bool lower = q < 3.0;
  float along = 1.0 - fract(q) / 0.857;
  float across = T.x * 2.09 + floor(q) * 0.37;
  float count = lower ? 38.0 : 44.0;
  float id = fract(sin(floor(across * count) * 12.9 + floor(q) * 3.7) * 437.5);
  float aside = abs(fract(across * count + (id - 0.5) * 0.9 * along) - 0.5) * 2.0;
  float reach = (lower ? 0.42 : 0.92) * (0.55 + 0.45 * id) * lashLength;
  if (along > reach || aside > mix(lower ? 0.30 : 0.62, 0.06, along / reach)) discard;
  Surface s;
  s.spread = 0.0;
  s.colour = mix(vec3(0.012, 0.009, 0.008), browColour * 0.4, 0.35);
  if (lower) s.colour = mix(s.colour, skinColour * vec3(0.5, 0.38, 0.34), 0.62);
  s.normal = n;
  s.rough = 0.5;
  s.gloss = 0.15;
  s.light = 0.5;
  s.kind = HAIR;
  return s;
}
