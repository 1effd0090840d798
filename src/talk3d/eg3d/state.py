"""What changes while the prior trains: configuration, weights, codes, checkpoints.

Goes out: ``state.pt`` (everything needed to go on) and ``prior.safetensors`` (the
averaged generator).
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from talk3d.eg3d.adversary import Adversary, AdversaryConfig
from talk3d.eg3d.config import GeneratorConfig
from talk3d.eg3d.corpus import Corpus
from talk3d.eg3d.files import load_generator, save_generator
from talk3d.eg3d.generator import Generator
from talk3d.eg3d.image_set import ImageSet
from talk3d.eg3d.stylegan2 import Linear
from talk3d.interrupted import StateFile, plain

__all__ = [
    "PriorTrainConfig",
    "TrainState",
    "load_weights",
    "parameter_groups",
]

_EMA_STEPS = 200
_JUDGE = "judge."
_STATE = "state.pt"


@dataclass(frozen=True)
class PriorTrainConfig:
    """How the prior is trained."""

    generator: GeneratorConfig
    """The network."""
    stage: Literal["points", "images", "adversarial"] = "points"
    """Which objective: points by exact depth, pictures, or pictures that should be
    taken for real, made-up people's too."""
    steps: int = 4000
    """Length of the run; the learning rate falls to a tenth along a cosine."""
    people: int = 2
    """People per share of a step; each gives two pictures."""
    shares: int = 1
    """Of a step: their mean gradient is followed (``team.py``)."""
    pixels: int = 4000
    """Pixels per picture in the point stage."""
    times: int = 4
    """Side of a picture over that of the windows that the other stages render."""
    texture: float = 0.5
    """Weight of the local strength of detail in pictures."""
    learning_rate: float = 2e-3
    """Adam step size of the network and of the identity codes."""
    held_out: int = 20
    """The last people of the corpus are never trained on."""
    seed: int = 0
    """Source of all chance."""
    checkpoint_steps: int = 250
    """Steps between checkpoints."""
    half: bool = True
    """Run convolutions in bfloat16 where the CPU has it in hardware."""
    adversary: AdversaryConfig = field(default_factory=AdversaryConfig)
    """How the adversarial stage judges."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        counts = ("steps", "people", "shares", "pixels", "times")
        given = {name: getattr(self, name) for name in counts}
        if min(given.values()) < 1:
            shown = ", ".join(f"{name} {value}" for name, value in given.items())
            message = f"{shown}: all must be at least 1"
            raise ValueError(message)
        if (self.adversary.swap is not None) != self.generator.pose_told:
            message = (
                f"swap is {self.adversary.swap} and pose_told"
                f" {self.generator.pose_told}: give a chance exactly where the"
                " generator is told the camera"
            )
            raise ValueError(message)


def load_weights(run: Path) -> dict[str, Tensor]:
    """Return weights that ``train_prior`` may start from.

    Args:
        run: the folder of a run (its averaged weights, its codes, its judge if there
            is one) or a prior file (weights alone; the people of a corpus get new
            codes).

    Raises:
        FileNotFoundError: if the folder holds no run.
        ValueError: if the file is not a prior.
    """
    if run.is_file():
        return load_generator(run).state_dict()
    if not (run / _STATE).is_file():
        message = (
            f"{run} holds no training run: give the folder of a prior's training, or a"
            " prior file"
        )
        raise FileNotFoundError(message)
    saved = StateFile(run / _STATE).open()
    weights = saved["average"] | {"codes": saved["codes"]["weight"]}
    judge = saved["adversary"] or {"network": {}}
    return weights | {f"{_JUDGE}{k}": v for k, v in judge["network"].items()}


def parameter_groups(
    generator: Generator,
) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Return the parameters of convolutions and those of linear layers."""
    linear = [
        parameter
        for module in generator.modules()
        if isinstance(module, Linear)
        for parameter in module.parameters()
    ]
    known = {id(parameter) for parameter in linear}
    others = [p for p in generator.parameters() if id(p) not in known]
    return others, linear


@dataclass
class TrainState:
    """All that changes while training."""

    generator: Generator
    """The network."""
    average: Generator
    """Its running average, which is what ships."""
    codes: nn.Embedding
    """Identity codes, one per person of the corpus."""
    optimiser: torch.optim.Adam
    """Of the network's convolutions, its linear layers, and the codes."""
    adversary: Adversary | None
    """In the adversarial stage."""
    people: list[int]
    """Who is trained on."""
    about: dict[str, Any]
    """What the run is of: the configuration, the pictures."""
    step: int = 0
    """Steps done."""
    seconds: float = 0.0
    """Time that they took."""

    @classmethod
    def start(
        cls,
        config: PriorTrainConfig,
        corpus: Corpus | ImageSet,
        people: list[int],
        *,
        init: dict[str, Tensor] | None,
    ) -> "TrainState":
        """Return the state before the first step.

        Args:
            config: how to train.
            corpus: what is known of its people makes their first codes.
            people: who is trained on.
            init: weights to start from, and maybe ``codes`` and a judge's.

        Raises:
            ValueError: if the weights are of other sizes.
        """
        with torch.random.fork_rng():
            torch.manual_seed(config.seed)
            generator = Generator(config.generator)
            average = Generator(config.generator)
            table = _first_codes(corpus, config.generator.z_dim)
            adversary = None
            if config.stage == "adversarial":
                size = config.generator.superres.image_size // config.times
                adversary = Adversary(config.adversary, size)
        if init is not None:
            weights = {k: v for k, v in init.items() if not k.startswith(_JUDGE)}
            known = weights.pop("codes", None)
            _enter(generator, weights, "generator")
            judge = {
                name.removeprefix(_JUDGE): value
                for name, value in init.items()
                if name.startswith(_JUDGE)
            }
            if adversary is not None and judge:
                _enter(adversary.network, judge, "judge")
            if not corpus.labelled:
                draws = torch.randn(table.weight.shape, generator=_chance(config))
                table.weight.data = generator.codes(draws)
            elif known is not None:
                table.weight.data[: len(known)] = known[: len(table.weight)]
        average.load_state_dict(generator.state_dict())
        average.requires_grad_(False)
        groups = [*parameter_groups(generator), list(table.parameters())]
        optimiser = torch.optim.Adam(
            [{"params": group} for group in groups], betas=(0.0, 0.99)
        )
        about = plain(config) | {"pictures": corpus.fingerprint()}
        return cls(generator, average, table, optimiser, adversary, people, about)

    def resume(self, run: Path) -> None:
        """Go on from the checkpoint of a run, if there is one.

        Raises:
            ValueError: if the run was started with another configuration or on other
                pictures.
        """
        saved = StateFile(run / _STATE).read(self.about)
        if saved is None:
            return
        self.generator.load_state_dict(saved["generator"])
        self.average.load_state_dict(saved["average"])
        self.codes.load_state_dict(saved["codes"])
        self.optimiser.load_state_dict(saved["optimiser"])
        if self.adversary is not None:
            self.adversary.load_state_dict(saved["adversary"])
        self.step, self.seconds = saved["step"], saved["seconds"]

    def save(self, run: Path) -> None:
        """Write the checkpoint and the averaged generator."""
        self._centre()
        judge = None if self.adversary is None else self.adversary.state_dict()
        values = {
            "generator": self.generator.state_dict(),
            "average": self.average.state_dict(),
            "codes": self.codes.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "adversary": judge,
            "step": self.step,
            "seconds": self.seconds,
        }
        StateFile(run / _STATE).write(self.about, values)
        save_generator(
            run / "prior.safetensors",
            self.average,
            step=self.step,
            extra={
                "people": len(self.people),
                "seconds": round(self.seconds),
                "training": self.about,
            },
        )

    @torch.no_grad()
    def count(self) -> None:
        """Take the step's weights into the average."""
        decay = min(1 - 1 / _EMA_STEPS, (self.step + 1) / (self.step + 10))
        pairs = zip(self.average.parameters(), self.generator.parameters(), strict=True)
        for old, new in pairs:
            old.lerp_(new, 1 - decay)
        self.step += 1

    @torch.no_grad()
    def made_up(self, count: int, chance: torch.Generator) -> Tensor:
        """Draw identity codes as those of the people trained on are spread."""
        known = self.codes.weight[self.people]
        mean = known.mean(0)
        draws = torch.randn(count, len(known), generator=chance)
        return mean + draws @ (known - mean) / max(len(known) - 1, 1) ** 0.5

    @torch.no_grad()
    def _centre(self) -> None:
        """Describe the people trained on: spread of codes, average neutral style."""
        codes = self.codes.weight[self.people]
        self.average.set_spread(codes)
        neutral = self.average.condition(
            torch.zeros(len(codes), 53), torch.zeros(len(codes), 4)
        )
        w = self.average.map(codes, neutral)
        self.average.set_average(w[:, 0].mean(0))


def _enter(network: nn.Module, weights: dict[str, Tensor], what: str) -> None:
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        message = (
            f"the weights to start from are not those of this run's {what} ({reason}):"
            " give a prior or a run of the same sizes"
        )
        raise ValueError(message) from error


def _chance(config: PriorTrainConfig) -> torch.Generator:
    return torch.Generator().manual_seed(config.seed)


def _first_codes(corpus: Corpus | ImageSet, length: int) -> nn.Embedding:
    """Return the first codes: the standardised traits, then noise.

    What the renderer knows of a person (shape weights, colours, hair style) makes
    similar people neighbours from the start; the codes learn the rest.
    """
    people = int(corpus.person.max()) + 1
    table = nn.Embedding(people, length)
    nn.init.normal_(table.weight, std=0.3)
    traits = torch.from_numpy(corpus.traits[:people])
    if traits.shape[1] == 0:
        return table
    spread = traits.std(0, correction=0)
    known = (traits - traits.mean(0)) / spread.clamp(min=1e-3)
    count = min(length, known.shape[1])
    table.weight.data[: len(known), :count] = known[:, :count].clamp(-3, 3)
    return table
