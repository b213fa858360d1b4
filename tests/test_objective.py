"""Routing, averaging, balancing and the checks before training."""

from dataclasses import replace
from typing import get_args

import pytest
import torch
from torch import Tensor

from depthmix.errors import ConfigError
from depthmix.losses import (
    EdgeMask,
    EdgeNormalLoss,
    GradientMatchingLoss,
    LogL1Loss,
    PlaneLoss,
    PlaneNormalLoss,
    ScaleShiftInvariantLoss,
    SilogLoss,
    VirtualNormalLoss,
)
from depthmix.objective import Balance, Objective, Term, check_terms, term_problems
from depthmix.prediction import Prediction
from depthmix.pulls import combine, measure, with_gradients
from depthmix.sample import DEPTH_KINDS, LabelKind
from tests.toy import MeanDepthLoss, card, random_batch

WEB, KITTI, PLANES, SFM = (
    LabelKind.AFFINE_DISPARITY,
    LabelKind.METRIC_DEPTH,
    LabelKind.NONE,
    LabelKind.SCALED_DEPTH,
)
CARDS = {"planes": card(PLANES), "web": card(WEB), "kitti": card(KITTI)}
KINDS = [PLANES, WEB, KITTI, KITTI]
SOURCES = [0, 1, 2, 2]


def all_terms() -> dict[str, Term]:
    return {
        "ssi": Term(ScaleShiftInvariantLoss()),
        "gradient": Term(GradientMatchingLoss(), weight=0.5),
        "silog": Term(SilogLoss()),
        "l1": Term(LogL1Loss(), weight=2.0),
        "plane": Term(PlaneLoss(), weight=0.1),
        "virtual": Term(VirtualNormalLoss()),
        "edges": Term(EdgeNormalLoss()),
        "walls": Term(PlaneNormalLoss()),
    }


def predict(b: int, seed: int = 0, size: tuple[int, int] = (32, 40)) -> tuple[Tensor, Prediction]:
    y = torch.randn(b, 1, *size, generator=torch.Generator().manual_seed(seed)) * 0.2 + 1
    y.requires_grad_()
    intrinsics = torch.tensor([[40.0, 40.0, 19.5, 15.5]]).repeat(b, 1)
    return y, Prediction(y, intrinsics, 50.0)


def gradient_of(terms: dict[str, Term], balance: str = "none", step: int = 0, kinds=KINDS, sources=SOURCES):
    y, prediction = predict(len(kinds))
    value = Objective(terms, balance, CARDS)(prediction, random_batch(kinds, sources=sources), step)
    value.loss.backward()
    return value, y.grad


def test_planes_rows_carry_the_plane_loss_and_web_rows_no_metric_loss():
    value, _ = gradient_of(all_terms())
    carried = dict(zip(all_terms(), value.carried.tolist(), strict=True))
    assert carried["ssi"] == [False, True, True, True]
    assert carried["silog"] == [False, False, True, True]
    assert carried["l1"] == [False, False, True, True]
    bearers = {name for name, term in all_terms().items() if PLANES in term.loss.accepts}
    assert {name for name, rows in carried.items() if rows[0]} == bearers
    assert "plane" in bearers
    assert bearers.isdisjoint({"ssi", "gradient", "silog", "l1", "virtual"})


def test_tiers_and_sources_restrict_a_term():
    low, _ = gradient_of({"ssi": Term(ScaleShiftInvariantLoss(), tiers=["LOW"])})
    assert low.carried.tolist() == [[False, True, False, False]]
    kitti, _ = gradient_of({"ssi": Term(ScaleShiftInvariantLoss(), sources=["kitti"])})
    assert kitti.carried.tolist() == [[False, False, True, True]]


def test_a_loss_that_needs_density_leaves_sparse_sources_out():
    cards = CARDS | {"kitti": card(KITTI, "sparse")}
    _, prediction = predict(4)
    objective = Objective({"gradient": Term(GradientMatchingLoss())}, "none", cards)
    value = objective(prediction, random_batch(KINDS, sources=SOURCES))
    assert value.carried.tolist() == [[False, True, False, False]]


def test_without_balance_it_is_the_plain_weighted_sum_of_means():
    terms = all_terms()
    value, gradient = gradient_of(terms)
    y, prediction = predict(4)
    batch = random_batch(KINDS, sources=SOURCES)
    plain = torch.zeros(())
    for term, rows in zip(terms.values(), value.carried, strict=True):
        plain = plain + term.weight * term.loss(prediction, batch, step=0)[rows].mean()
    plain.backward()
    assert value.loss.item() == pytest.approx(plain.item(), rel=1e-5)
    torch.testing.assert_close(gradient, y.grad, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("balance", get_args(Balance))
def test_the_pull_of_a_row_is_the_norm_of_its_own_gradient(balance: Balance):
    value, gradient = gradient_of(all_terms(), balance)
    assert value.pulls is not None
    torch.testing.assert_close(value.pulls, gradient.flatten(1).norm(dim=1), rtol=1e-4, atol=1e-8)


def test_the_value_is_the_weighted_sum_whatever_the_balance():
    plain, _ = gradient_of(all_terms())
    balanced, _ = gradient_of(all_terms(), "gradient")
    assert balanced.loss.item() == pytest.approx(plain.loss.item(), rel=1e-5)
    torch.testing.assert_close(balanced.gradients, plain.gradients)


@pytest.mark.parametrize("factor", [1e-3, 1.0, 1e3])
def test_balance_makes_the_pull_of_a_term_its_weight(factor: float):
    terms = {"mean": Term(MeanDepthLoss(factor), weight=0.7)}
    value, gradient = gradient_of(terms, "gradient")
    pixels = gradient.numel()
    assert gradient.norm().item() == pytest.approx(0.7 / pixels**0.5, rel=1e-5)
    assert value.gradients.item() == pytest.approx(factor * natural_norm(), rel=1e-5)


def natural_norm() -> float:
    valid = random_batch(KINDS, sources=SOURCES).valid.flatten(1).sum(1)[2:].double()
    return (1 / valid / 4).sum().sqrt().item()  # mean over 2 rows of a mean over their valid pixels


def test_balanced_gradient_does_not_depend_on_the_scale_of_one_loss():
    ssi = Term(ScaleShiftInvariantLoss())
    _, small = gradient_of({"ssi": ssi, "mean": Term(MeanDepthLoss(1e-2))}, "gradient")
    _, large = gradient_of({"ssi": ssi, "mean": Term(MeanDepthLoss(1e2))}, "gradient")
    torch.testing.assert_close(small, large, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("balance", get_args(Balance))
def test_a_term_at_its_optimum_or_without_rows_gives_zero_and_stays_finite(balance: str):
    terms = {"mean": Term(MeanDepthLoss(0.0)), "silog": Term(SilogLoss(), sources=["kitti"])}
    value, gradient = gradient_of(terms, balance, kinds=[WEB, PLANES], sources=[1, 0])
    assert value.finite
    assert not value.carried.any()
    assert value.loss.item() == 0
    assert torch.equal(gradient, torch.zeros_like(gradient))  # zero, but there: every parameter takes part


def test_the_ramp_starts_at_zero_and_ends_at_the_weight():
    term = Term(MeanDepthLoss(), weight=2.0, end=10)
    assert [term.weight_at(step) for step in (0, 5, 10, 99)] == [0.0, 1.0, 2.0, 2.0]
    _, start = gradient_of({"mean": term}, "gradient", step=0)
    _, half = gradient_of({"mean": term}, "gradient", step=5)
    _, full = gradient_of({"mean": term}, "gradient", step=50)
    assert start.abs().max() == 0
    torch.testing.assert_close(2 * half, full)


@pytest.mark.parametrize(
    ("ramp", "weights"),
    [
        ({}, [2.0, 2.0, 2.0, 2.0]),
        ({"start": 4}, [0.0, 2.0, 2.0, 2.0]),
        ({"start": 4, "end": 8}, [0.0, 0.0, 1.0, 2.0]),
        ({"start": 4, "end": 4}, [0.0, 2.0, 2.0, 2.0]),
        ({"end": 8}, [0.0, 1.0, 1.5, 2.0]),
    ],
)
def test_a_ramp_leads_from_its_start_to_its_end(ramp: dict, weights: list[float]):
    term = Term(MeanDepthLoss(), weight=2.0, **ramp)
    assert [term.weight_at(step) for step in (0, 4, 6, 99)] == weights


def test_a_ramp_that_ends_before_it_starts_is_refused():
    with pytest.raises(ConfigError, match=r"end: must not lie before `start` \(9\), got 3"):
        Term(SilogLoss(), start=9, end=3)


def test_uncarried_rows_get_no_gradient():
    _, gradient = gradient_of({"silog": Term(SilogLoss())}, "gradient")
    assert gradient[:2].abs().max() == 0
    assert gradient[2:].abs().min(dim=0).values.max() > 0


def test_leaving_uncarried_rows_out_changes_no_value():
    batch = random_batch(KINDS, sources=SOURCES)
    for term in all_terms().values():
        _, prediction = predict(4)
        everywhere = term.loss(prediction, batch, step=7)
        value, _ = gradient_of({"one": term}, step=7)
        rows = value.carried[0]
        torch.testing.assert_close(value.per_row[0], torch.where(rows, everywhere, 0).detach())


def learned(objective: Objective, *log_variances: float) -> torch.nn.Parameter:
    assert objective.log_variances is not None
    objective.log_variances.data = torch.tensor(log_variances)
    return objective.log_variances


def test_learned_uncertainty_has_the_gradient_of_its_formula():
    terms = {"ssi": Term(ScaleShiftInvariantLoss()), "l1": Term(LogL1Loss(), weight=2.0)}
    y, prediction = predict(4)
    batch = random_batch(KINDS, sources=SOURCES)
    objective = Objective(terms, "uncertainty", CARDS)
    s = learned(objective, 0.5, -1.0)
    value = objective(prediction, batch)
    value.loss.backward()
    assert value.weights.tolist() == pytest.approx([torch.tensor(-0.5).exp().item(), 2 * 2.7182818], rel=1e-6)

    z, again = predict(4)
    t = s.detach().clone().requires_grad_()
    plain = torch.zeros(())
    for k, term in enumerate(terms.values()):
        mean = term.loss(again, batch)[value.carried[k]].mean()
        plain = plain + term.weight * ((-t[k]).exp() * mean + t[k])
    plain.backward()
    torch.testing.assert_close(y.grad, z.grad, rtol=1e-4, atol=1e-8)
    torch.testing.assert_close(s.grad, t.grad, rtol=1e-5, atol=1e-7)


def test_a_term_without_rows_or_weight_learns_no_uncertainty():
    terms = {
        "ssi": Term(ScaleShiftInvariantLoss()),
        "none": Term(SilogLoss(), tiers=["weak"]),
        "later": Term(SilogLoss(), start=10),
    }
    objective = Objective(terms, "uncertainty", CARDS)
    objective(predict(4)[1], random_batch(KINDS, sources=SOURCES)).loss.backward()
    assert objective.log_variances is not None
    assert objective.log_variances.grad is not None
    assert objective.log_variances.grad.ne(0).tolist() == [True, False, False]


def pulls_of(terms: dict[str, Term]) -> Tensor:
    """The gradient of each term's mean by itself."""
    return torch.stack([gradient_of({name: replace(term, weight=1.0)})[1] for name, term in terms.items()])


def test_a_pareto_step_is_shorter_than_any_mean_and_raises_no_term():
    terms = {name: replace(term, weight=1.0) for name, term in all_terms().items()}
    value, step = gradient_of(terms, "pareto")
    pulls = pulls_of(terms).double()
    assert value.weights.sum().item() == pytest.approx(1)
    assert value.weights.min() >= 0
    mixed = torch.einsum("k,k...->...", value.weights, pulls)
    torch.testing.assert_close(step.double(), mixed, rtol=1e-4, atol=1e-9)
    assert (pulls.flatten(1) @ step.double().flatten() >= step.double().square().sum() * (1 - 1e-4)).all()
    assert step.norm() <= pulls.flatten(1).norm(dim=1).min() * (1 + 1e-6)


def test_a_weight_multiplies_the_pareto_weight_and_zero_takes_no_part():
    terms = {"ssi": Term(ScaleShiftInvariantLoss()), "l1": Term(LogL1Loss()), "silog": Term(SilogLoss())}
    plain, _ = gradient_of(terms, "pareto")
    double, _ = gradient_of(terms | {"l1": Term(LogL1Loss(), weight=2.0)}, "pareto")
    torch.testing.assert_close(double.weights, plain.weights * torch.tensor([1.0, 2.0, 1.0]).double())
    without, _ = gradient_of({name: terms[name] for name in ("ssi", "silog")}, "pareto")
    later, _ = gradient_of(terms | {"l1": Term(LogL1Loss(), start=5)}, "pareto")
    torch.testing.assert_close(later.weights[[0, 2]], without.weights)
    assert later.weights[1] == 0


def test_terms_of_different_sources_count_one_over_their_squared_norm():
    terms = {
        "web": Term(ScaleShiftInvariantLoss(), sources=["web"]),
        "kitti": Term(LogL1Loss(), sources=["kitti"]),
    }
    value, _ = gradient_of(terms, "pareto")
    inverse = value.gradients.square().reciprocal()
    torch.testing.assert_close(value.weights, inverse / inverse.sum(), rtol=1e-6, atol=0)


def test_a_pareto_step_over_sources_balances_their_gradients():
    terms = {"ssi": Term(ScaleShiftInvariantLoss()), "l1": Term(LogL1Loss(), weight=2.0)}
    _, gradient = gradient_of(terms, "pareto_sources")
    y, prediction = predict(4)
    batch = random_batch(KINDS, sources=SOURCES)
    ssi, l1 = (term.loss(prediction, batch) for term in terms.values())
    web, kitti = ssi[1], ssi[2:].mean() + 2 * l1[2:].mean()
    parts = [torch.autograd.grad(part, y, retain_graph=True)[0] for part in (web, kitti)]
    inverse = torch.stack([part.square().sum().reciprocal() for part in parts])
    shares = inverse / inverse.sum()
    expected = shares[0] * parts[0] + shares[1] * parts[1]
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-9)


def test_pareto_names_what_it_cannot_do():
    many = {f"t{i}": Term(SilogLoss()) for i in range(11)}
    with pytest.raises(ConfigError, match="balance: 'pareto' compares at most 10 terms, got 11"):
        Objective(many, "pareto")
    with pytest.raises(ConfigError, match="'pareto_sources' needs the cards of the sources"):
        Objective(all_terms(), "pareto_sources")


def test_autocast_does_not_round_the_gradient():
    y, prediction = predict(4)
    batch = random_batch(KINDS, sources=SOURCES)
    terms = {"ssi": Term(ScaleShiftInvariantLoss()), "l1": Term(LogL1Loss())}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = Objective(terms, "none", CARDS)(prediction, batch)
    value.loss.backward()
    assert torch.equal(y.grad, gradient_of(terms)[1])


@pytest.mark.parametrize("balance", get_args(Balance))
def test_balancing_waits_for_no_device(balance: Balance):
    objective = Objective(
        {"mean": Term(MeanDepthLoss()), "later": Term(MeanDepthLoss(), end=9)}, balance, CARDS
    )
    objective.to("meta")
    batch = random_batch(KINDS, sources=SOURCES).to("meta")
    y = torch.zeros(4, 1, 32, 40, device="meta", requires_grad=True)
    carried = torch.ones(2, 4, dtype=torch.bool, device="meta")
    groups = objective._groups(batch)
    pulls = [torch.zeros_like(y), torch.zeros_like(y)]
    found = measure(carried.float(), carried, pulls, groups, balance.startswith("pareto"))
    factors = objective._factors(found, found.values)
    with_gradients(found.values.sum(), [(y, combine(factors / found.counts @ groups, pulls))]).backward()
    assert y.grad is not None


def test_a_map_that_is_not_finite_is_reported():
    y, _ = predict(4)
    broken = y.detach().clone()
    broken[2, 0, 3, 3] = torch.nan
    prediction = Prediction(broken, predict(4)[1].intrinsics, 50.0)
    value = Objective(all_terms(), "gradient", CARDS)(prediction, random_batch(KINDS, sources=SOURCES))
    assert not value.finite


def test_rows_in_another_order_give_the_same_terms():
    order = torch.tensor([3, 1, 0, 2])
    _, prediction = predict(4)
    batch = random_batch(KINDS, sources=SOURCES)
    terms = {"ssi": Term(ScaleShiftInvariantLoss()), "silog": Term(SilogLoss())}
    objective = Objective(terms, "gradient", CARDS)
    moved = Prediction(prediction.log_canonical[order], prediction.intrinsics, 50.0)
    before, after = objective(prediction, batch), objective(moved, batch.select(order))
    torch.testing.assert_close(before.terms, after.terms)
    torch.testing.assert_close(before.per_row[:, order], after.per_row)


def test_half_precision_maps_train():
    y = torch.full((4, 1, 32, 40), 1.0, dtype=torch.bfloat16) + torch.rand(4, 1, 32, 40).bfloat16() * 0.2
    y.requires_grad_()
    prediction = Prediction(y, predict(4)[1].intrinsics, 50.0)
    value = Objective(all_terms(), "gradient", CARDS)(prediction, random_batch(KINDS, sources=SOURCES))
    value.loss.backward()
    assert value.finite
    assert y.grad.dtype == torch.bfloat16
    assert y.grad.isfinite().all()


def test_a_metric_loss_on_web_stereo_is_refused_with_the_way_out():
    terms = all_terms() | {"metric": Term(SilogLoss(), sources=["web", "kitti"])}
    with pytest.raises(ConfigError) as caught:
        check_terms(terms, CARDS)
    assert str(caught.value) == (
        "terms.metric: SilogLoss needs metric depth, but source 'web' gives AFFINE_DISPARITY (inverse depth, "
        "unknown scale and shift); leave it out of `sources` or use ScaleShiftInvariantLoss"
    )


def test_a_tier_that_only_has_refused_kinds_is_refused():
    terms = all_terms() | {"metric": Term(SilogLoss(), tiers=["low"])}
    assert term_problems(terms, CARDS) == [
        "terms.metric: SilogLoss needs metric depth, but no source can bear it: 'web' gives AFFINE_DISPARITY "
        "(inverse depth, unknown scale and shift); drop the term"
    ]


def test_without_a_restriction_a_metric_loss_routes_itself():
    assert term_problems(all_terms(), CARDS) == []


def test_a_source_that_nothing_learns_from_is_named():
    problems = term_problems({"ssi": Term(ScaleShiftInvariantLoss())}, CARDS)
    assert problems == [
        "sources.planes: no term learns from it (NONE (no depth at all)); add a term that can, or leave the "
        "source out"
    ]
    web_by_planes_only = {"plane": Term(PlaneLoss()), "silog": Term(SilogLoss())}
    assert len(term_problems(web_by_planes_only, CARDS)) == 1


class Pairs(MeanDepthLoss):
    accepts = frozenset({LabelKind.ORDINAL})
    needs = frozenset({"pairs"})


class Sky(MeanDepthLoss):
    accepts = frozenset(LabelKind)
    needs = frozenset({"sky"})


def test_ordinal_pairs_are_wanted_by_name_and_enough_for_their_source():
    cards = {"diw": replace(card(WEB), kind=LabelKind.ORDINAL), "kitti": card(KITTI)}
    terms = {"silog": Term(SilogLoss()), "pairs": Term(Pairs())}
    assert term_problems(terms, cards) == []
    (problem, *_) = term_problems(terms | {"pairs": Term(Pairs(), sources=["kitti"])}, cards)
    assert problem.startswith("terms.pairs: Pairs needs ordinal pairs, but source 'kitti' gives METRIC_DEPTH")


@pytest.mark.parametrize("kind", [*DEPTH_KINDS, LabelKind.AFFINE_DISPARITY, LabelKind.ORDINAL])
def test_a_sky_term_alone_is_no_use_of_a_source_of_depth_or_pairs(kind: LabelKind):
    (problem,) = term_problems({"sky": Term(Sky())}, {"kitti": replace(card(KITTI), kind=kind)})
    assert problem.startswith("sources.kitti: no term learns from it")


def test_a_term_on_planes_is_no_use_of_pairs_of_points():
    (problem,) = term_problems(
        {"plane": Term(PlaneLoss())}, {"diw": replace(card(WEB), kind=LabelKind.ORDINAL)}
    )
    assert problem.startswith("sources.diw: no term learns from it")


def test_a_dense_loss_on_sparse_sources_is_refused():
    cards = {"kitti": card(KITTI, "sparse")}
    terms = {"silog": Term(SilogLoss()), "gradient": Term(GradientMatchingLoss())}
    assert (
        "needs dense depth, but no source can bear it: 'kitti' gives sparse" in term_problems(terms, cards)[0]
    )


def test_unknown_names_come_with_a_guess():
    with pytest.raises(ConfigError, match="did you mean 'kitti'"):
        Objective({"silog": Term(SilogLoss(), sources=["kiti"])}, "none", CARDS)
    assert "did you mean 'web'" in term_problems({"a": Term(SilogLoss(), sources=["webb"])}, CARDS)[0]
    with pytest.raises(ConfigError, match=r"tiers: 'hihg' is not one of .* did you mean 'high'"):
        Term(SilogLoss(), tiers=["hihg"])


@pytest.mark.parametrize("change", [{"weight": -1.0}, {"weight": float("nan")}, {"start": -1}, {"end": -1}])
def test_impossible_weights_are_refused(change: dict):
    with pytest.raises(ConfigError, match="must be finite and not negative"):
        replace(Term(SilogLoss()), **change)


def test_an_empty_objective_a_wrong_balance_and_a_dotted_name_are_refused():
    with pytest.raises(ConfigError, match="at least one term"):
        Objective({})
    with pytest.raises(ConfigError, match=r'balance: must be one of "none", "gradient", .* got'):
        Objective(all_terms(), "mean")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="must be an identifier"):
        Objective({"a.b": Term(SilogLoss())})


def masked_term(**options) -> dict[str, Term]:
    return {"l1": Term(LogL1Loss(), edges=EdgeMask(**options))}


def test_a_term_reads_no_label_near_a_step_of_it():
    batch = random_batch(KINDS, sources=SOURCES)
    _, gradient = gradient_of(masked_term())
    _, plain = gradient_of({"l1": Term(LogL1Loss())})
    band = EdgeMask().mark(batch)
    assert (band & batch.valid)[2:].any()
    assert not gradient[band].any()
    assert torch.equal((gradient != 0) | band, (plain != 0) | band)


def test_only_labels_of_the_named_tiers_and_sources_are_masked():
    _, plain = gradient_of({"l1": Term(LogL1Loss())})
    for none in ({"tiers": ["low"]}, {"sources": ["web"]}):
        assert torch.equal(gradient_of(masked_term(**none))[1], plain)
    for some in ({"tiers": ["high"]}, {"sources": ["kitti"]}):
        assert torch.equal(gradient_of(masked_term(**some))[1], gradient_of(masked_term())[1])


def test_a_row_that_is_all_edge_does_not_take_part():
    value, gradient = gradient_of(masked_term(pixels=40))
    assert not value.carried.any()
    assert value.loss.item() == 0
    assert not gradient.any()


def test_a_mask_for_what_does_not_exist_is_refused():
    with pytest.raises(ConfigError, match=r"edges.tiers: 'hgih' is not one of .*; did you mean 'high'"):
        masked_term(tiers=["hgih"])
    with pytest.raises(ConfigError, match=r"terms.l1.edges.sources: 'kiti' is not one of"):
        Objective(masked_term(sources=["kiti"]), "none", CARDS)
    assert term_problems(masked_term(sources=["kiti"]), CARDS)[0].startswith("terms.l1.edges.sources: 'kiti'")
