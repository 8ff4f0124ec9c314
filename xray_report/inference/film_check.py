"""Is this a film that the model knows? Or inverted, turned, the other view, no chest at all.

A report model writes a report of anything. What is asked here of each film before its report is
believed, and answered in a sentence with its reason:

- of the pixels alone: is there a picture at all (`flat`, `noise`)?
- against the training films of both views: would it fit better inverted (`inverted`), turned by 90
  or 180 degrees (`turned`), or as the other view (`swapped`)? Or does it fit in no way (`unlike`)?

Training films are remembered as two Gaussians a view (`FilmStatistics`, in the checkpoint): one of
thumbnails, which knows what is where and costs nothing to ask of a film turned or inverted, and
one of the encoder's pooled maps, which knows what a chest film is made of. The distance is
Mahalanobis' (Lee et al., A Simple Unified Framework for Detecting Out-of-Distribution Samples,
NeurIPS 2018) under a covariance of low rank and an isotropic rest (Tipping and Bishop,
Probabilistic Principal Component Analysis, 1999), shrunk towards the isotropic: a full one of 1280
channels would be 13 MB and could not be estimated from a few hundred films; this is 1 MB.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

VIEWS = ("frontal", "lateral")
SIDE = 16
"""Side of thumbnails: organs are where they are, and little is left of a patient."""
FAINT = 4.0
"""Deviation, grey levels, under which there is nothing to see."""
LEAST_CORRELATION = 0.6
"""Of neighbouring pixels: films have .9 or more, noise that was resized less than .5."""
AT_ONCE = 32
"""Films that are in memory as floating-point numbers at a time."""
RANK = 64
SHRINKAGE = 0.1
LEAST_FILMS = 50
"""Training films of a view under which they are no measure."""
MOST_STUDIES = 400
"""Training studies that are remembered; more films know no better (measured on IU X-ray)."""
FOREIGN = 1.75
"""Features this many times beyond their threshold are of no chest film, however it is turned: of
inverted and turned films of IU X-ray 99 % stay below 1.6, drawn knees start at 1.9 (measured)."""
QUANTILES = {"thumbnails": 0.995, "features": 0.99}
"""Shares of the validation films that are no outliers."""

CHANGES: Mapping[str, tuple[str, Callable[[Tensor], Tensor]]] = {
    "as it is": ("", lambda films: films),
    "with black and white exchanged": ("inverted", lambda films: 255 - films),
    "turned by 90 degrees to the left": ("turned", lambda films: films.rot90(1, (1, 2))),
    "turned by 90 degrees to the right": ("turned", lambda films: films.rot90(3, (1, 2))),
    "turned by 180 degrees": ("turned", lambda films: films.rot90(2, (1, 2))),
}
"""How else a film might have to be seen: the kind of warning where it fits better so."""


@dataclass(frozen=True)
class Gaussian:
    """A normal distribution in D dimensions: K of them each with its variance, one for the rest.

    Args:
        mean: [D].
        basis: [K, D], orthonormal.
        variances: [K], in the directions of `basis`.
        rest: [], variance in every other direction.
        threshold: [], squared distance beyond which a film is an outlier.
    """

    mean: Tensor
    basis: Tensor
    variances: Tensor
    rest: Tensor
    threshold: Tensor

    def __post_init__(self) -> None:
        """Raises `ValueError` where the shapes do not fit: a file may claim any."""
        size, rank = self.mean.numel(), self.variances.numel()
        expected = {"mean": (size,), "basis": (rank, size), "variances": (rank,)}
        for name, tensor in vars(self).items():
            if (shape := tuple(tensor.shape)) != expected.get(name, ()):
                raise ValueError(f"statistics of films: {name} has the shape {shape}")

    @classmethod
    def fit(cls, rows: Tensor, others: Tensor, quantile: float) -> Gaussian:
        """Of `rows` [N, D]; that share of `others` [M, D] is within the threshold."""
        rows = rows.double()
        mean = rows.mean(0)
        _, singular, basis = torch.linalg.svd(rows - mean, full_matrices=False)
        size, rank = rows.shape[1], min(RANK, len(singular) - 1)
        variances = rows.new_zeros(size)
        variances[: len(singular)] = singular**2 / len(rows)
        # No direction may have none: films alike in it would make all others outliers.
        average = variances.mean().clamp(min=1e-6)
        shrunk = (1 - SHRINKAGE) * variances + SHRINKAGE * average
        rest = shrunk[rank:].mean()
        parts = (mean, basis[:rank], shrunk[:rank], rest, torch.tensor(0.0))
        found = cls(*(part.float() for part in parts))
        threshold = found.distances(others if len(others) else rows.float()).quantile(quantile)
        return cls(found.mean, found.basis, found.variances, found.rest, threshold)

    def distances(self, rows: Tensor) -> Tensor:
        """Squared Mahalanobis distances [N] of rows [N, D]."""
        away = rows.float() - self.mean
        along = away @ self.basis.T
        outside = (away.square().sum(1) - along.square().sum(1)).clamp(min=0)
        return (along.square() / self.variances).sum(1) + outside / self.rest

    @property
    def log_volume(self) -> Tensor:
        """Logarithm of the covariance's determinant."""
        others = len(self.mean) - len(self.variances)
        return self.variances.log().sum() + others * self.rest.log()


@dataclass(frozen=True)
class Films:
    """Films of one or both views.

    Args:
        pixels: uint8 [N, S, S], as the encoder takes them.
        slots: int64 [N], 0 frontal, 1 lateral.
        pooled: float [N, C], means of the encoder's maps; None where it is trained along and they
            would be others tomorrow.
    """

    pixels: Tensor
    slots: Tensor
    pooled: Tensor | None = None

    def of(self, slot: int) -> Films:
        """Those of one view."""
        kept = self.slots == slot
        pooled = None if self.pooled is None else self.pooled[kept]
        return Films(self.pixels[kept], self.slots[kept], pooled)


@dataclass(frozen=True)
class FilmStatistics:
    """What is remembered of the training films.

    Args:
        thumbnails: of each view, 0 frontal, 1 lateral; None of a view with fewer than
            `LEAST_FILMS` training films.
        features: likewise, of the pooled maps; None also where the encoder was trained along.
    """

    thumbnails: tuple[Gaussian | None, Gaussian | None]
    features: tuple[Gaussian | None, Gaussian | None]

    @classmethod
    def learn(cls, train: Films, others: Films) -> FilmStatistics | None:
        """Of training films, with thresholds of validation films; None where there are too few."""
        thumbs: list[Gaussian | None] = [None, None]
        feats: list[Gaussian | None] = [None, None]
        for slot in range(len(VIEWS)):
            own, held = train.of(slot), others.of(slot)
            if len(own.pixels) < LEAST_FILMS:
                continue
            small, quantile = thumbnails(held.pixels), QUANTILES["thumbnails"]
            thumbs[slot] = Gaussian.fit(thumbnails(own.pixels), small, quantile)
            if own.pooled is not None and held.pooled is not None:
                feats[slot] = Gaussian.fit(own.pooled, held.pooled, QUANTILES["features"])
        if thumbs == [None, None]:
            return None
        return cls((thumbs[0], thumbs[1]), (feats[0], feats[1]))

    def to_plain(self) -> dict[str, Tensor]:
        """Tensors by name, such as `frontal.thumbnails.mean`, for a checkpoint."""
        return {
            f"{view}.{kind}.{name}": tensor
            for kind, both in (("thumbnails", self.thumbnails), ("features", self.features))
            for view, one in zip(VIEWS, both, strict=True)
            if one is not None
            for name, tensor in vars(one).items()
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Tensor] | None) -> FilmStatistics | None:
        """Inverse of `to_plain`; None of None, which checkpoints of before have."""
        if plain is None:
            return None

        def of(kind: str, view: str) -> Gaussian | None:
            start = f"{view}.{kind}."
            parts = {
                name.removeprefix(start): tensor.float().cpu()
                for name, tensor in plain.items()
                if name.startswith(start)
            }
            return Gaussian(**parts) if parts else None

        thumbs, feats = ([of(kind, view) for view in VIEWS] for kind in QUANTILES)
        return cls((thumbs[0], thumbs[1]), (feats[0], feats[1]))


def thumbnails(films: Tensor) -> Tensor:
    """Films uint8 [N, S, S] -> float [N, 256]: 16 x 16, mean 0, deviation 1 unless faint."""
    size = (SIDE, SIDE)
    parts = torch.split(films[:, None], AT_ONCE)
    small = [functional.interpolate(part.float(), size=size, mode="area") for part in parts]
    rows = torch.cat(small).flatten(1)
    rows = rows - rows.mean(1, keepdim=True)
    deviation = rows.square().mean(1, keepdim=True).sqrt()
    return rows / deviation.clamp(min=FAINT)


def pooled(maps: Tensor) -> Tensor:
    """Maps [N, C, h, w] -> their means, float32 [N, C]."""
    return maps.float().mean((2, 3))


def neighbour_correlation(films: Tensor) -> Tensor:
    """Correlation of each film's pixels with their right neighbours, [N]; 1 of a flat film."""
    found = []
    for part in torch.split(films, AT_ONCE):
        levels = part.float()
        left, right = levels[:, :, :-1].flatten(1), levels[:, :, 1:].flatten(1)
        left, right = (side - side.mean(1, keepdim=True) for side in (left, right))
        norms = left.norm(dim=1) * right.norm(dim=1)
        products = (left * right).sum(1) / norms.clamp(min=1e-6)
        found.append(torch.where(norms > 0, products, 1.0))
    return torch.cat(found)


# The questions.

NOT_KEPT = (
    "it is not known whether the model knows such films: its checkpoint keeps no statistics of "
    "those of its training"
)


def check_films(
    films: Films, known: FilmStatistics | None, names: Sequence[str] = ()
) -> list[dict[str, str]]:
    """What is wrong with each of N films: kind of warning -> sentence.

    The kinds are those of the module's docstring, and `unchecked` where nothing is known.

    Args:
        films: with the views that they are to be read as.
        known: of the model that is to read them; None asks nothing but the pixels, and says so.
        names: N, for the sentences; else `the frontal image`.
    """
    called = names or [f"the {VIEWS[slot]} image" for slot in films.slots.tolist()]
    deviations = [float(one.float().std(correction=0)) for one in films.pixels]
    correlations = neighbour_correlation(films.pixels).tolist()
    unseen = [_unseen(*one) for one in zip(called, deviations, correlations, strict=True)]
    fits = None if known is None else _fits(films, known)
    found = []
    for row, (name, slot) in enumerate(zip(called, films.slots.tolist(), strict=True)):
        if unseen[row]:
            found.append(unseen[row])
        elif known is None or fits is None:
            found.append({"unchecked": NOT_KEPT})
        elif known.thumbnails[slot] is None:
            told = f"{name} is not checked: training had hardly any {VIEWS[slot]} film"
            found.append({"unchecked": told})
        else:
            found.append(fits.warnings(row, slot, name))
    return found


def _unseen(name: str, deviation: float, correlation: float) -> dict[str, str]:
    """What pixels alone say: their deviation in grey levels, and their neighbours' correlation."""
    if deviation < FAINT:
        return {"flat": f"{name} shows nothing: its grey levels deviate by {deviation:.1f} of 255"}
    if correlation < LEAST_CORRELATION:
        reason = f"neighbouring pixels correlate by {correlation:.2f}, of films by 0.9 or more"
        return {"noise": f"{name} is noise: {reason}"}
    return {}


@dataclass(frozen=True)
class _Fits:
    """How well N films fit what is known.

    Args:
        known: of training.
        distances: of thumbnails [2, 5, N], by view and change; infinite of an unknown view.
        features: of pooled maps [2, N]; zero where nothing is known of them.
    """

    known: FilmStatistics
    distances: Tensor
    features: Tensor

    def warnings(self, row: int, slot: int, name: str) -> dict[str, str]:
        """What is wrong with one film that is read as the view `slot`."""
        volumes = torch.tensor([0.0 if g is None else g.log_volume for g in self.known.thumbnails])
        scores = self.distances[:, :, row] + volumes[:, None]
        view, change = divmod(int(scores.argmin()), len(CHANGES))
        best, own = self.known.thumbnails[view], self.known.thumbnails[slot]
        assert best is not None
        assert own is not None
        here, there = float(self.distances[slot, 0, row]), float(self.distances[view, change, row])
        usual, foreign = float(own.threshold), 0.0
        if (feature := self.known.features[slot]) is not None:
            foreign = float(self.features[slot, row]) / float(feature.threshold)
        fits_so = (view, change) != (slot, 0) and there <= float(best.threshold)
        if fits_so and foreign < FOREIGN:
            how, (kind, _) = list(CHANGES.items())[change]
            other = "" if view == slot else f"as a {VIEWS[view]} image "
            fits = f"it is nearer to training {other}{how if change else ''}".rstrip()
            say = f"{name} is read as {VIEWS[slot]} and looks {kind or 'like the other view'}"
            return {kind or "swapped": f"{say}: {fits} (distance {there:.0f} against {here:.0f})"}
        say = f"{name} is unlike the {VIEWS[slot]} films of training"
        if foreign > 1:
            reason = f"{foreign:.1f} times as far from them as is usual"
            return {"unlike": f"{say} in the encoder's features ({reason})"}
        if here > usual:
            return {"unlike": f"{say} in layout ({here / usual:.1f} times as far as is usual)"}
        return {}


def _fits(films: Films, known: FilmStatistics) -> _Fits:
    count = len(films.pixels)
    changed = [thumbnails(change(films.pixels)) for _, change in CHANGES.values()]
    distances = torch.full((len(VIEWS), len(CHANGES), count), torch.inf)
    features = torch.zeros(len(VIEWS), count)
    for slot, (small, feature) in enumerate(zip(known.thumbnails, known.features, strict=True)):
        if small is not None:
            distances[slot] = torch.stack([small.distances(rows) for rows in changed])
        if feature is not None and films.pooled is not None:
            features[slot] = feature.distances(films.pooled)
    return _Fits(known, distances, features)
