"""Learning-rate annealing: the sums of a schedule, the law, and a run whose rate decays."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayes_scaling as bs
from bayes_scaling.criticism._curve import ALPHA, PHI, SHARE, Part, Points, posterior
from bayes_scaling.criticism.in_flight import SURPRISING, _annealed
from bayes_scaling.errors import FitError, SpecError, TableError
from bayes_scaling.laws import bind

STEPS = 20_000
PLAN = {"params": 7e9, "tokens": 1.4e11}
SHARES = np.linspace(0, 1, STEPS)
COSINE = 0.1 + 0.45 * (1 + np.cos(np.pi * SHARES))
WSD = np.interp(SHARES, [0.0, 0.7, 1.0], [1.0, 1.0, 0.0])


def looped(rates, decay=0.999):
    """The paper's recursion, step by step."""
    eta = np.asarray(rates, float) / max(rates)
    s1, s2, m, before, out = 0.0, 0.0, 0.0, eta[0], []
    for rate in eta:
        m = decay * m + before - rate
        s1, s2, before = s1 + rate, s2 + m, rate
        out.append((s1, s2))
    return np.transpose(out)


# --- the sums ------------------------------------------------------------------------------------


@pytest.mark.parametrize("decay", [0.999, 0.9, 0.0])
@pytest.mark.parametrize(
    "rates",
    [
        COSINE[::10],
        3e-4 * WSD[::10],
        np.repeat([1.0, 0.2, 1.0, 0.3], [100, 500, 500, 100]),  # a restart at the peak
    ],
)
def test_one_rate_per_step_is_the_recursion(rates, decay):
    np.testing.assert_allclose(
        bs.annealing_sums(rates, decay=decay), looped(rates, decay), 1e-9, 1e-9
    )


def test_a_constant_rate_has_no_drop():
    area, drop = bs.annealing_sums(np.full(50, 3e-4))
    np.testing.assert_allclose(area, np.arange(1, 51))
    np.testing.assert_array_equal(drop, 0.0)


def test_a_warm_up_is_area_and_no_drop():
    warm = np.linspace(0.01, 1.0, 300)
    area, drop = bs.annealing_sums(np.concatenate([warm, WSD]))
    np.testing.assert_array_equal(drop[:300], 0.0)
    np.testing.assert_allclose(drop[300:], looped(WSD)[1], rtol=1e-9)
    np.testing.assert_allclose(area[299], warm.sum())


def test_a_rate_that_rises_again_takes_the_drop_back():
    _, drop = bs.annealing_sums(np.repeat([1.0, 0.2, 0.9], [500, 500, 4000]))
    assert drop[999] > drop[1500] > drop[-1] > 0
    np.testing.assert_allclose(drop[-1], 100.0, rtol=0.05)  # what is left of it, remembered


def test_few_rates_are_the_line_between_them():
    """With corners on whole steps the coarse schedule is the fine one, to rounding."""
    corners = np.array([0.3, 1.0, 1.0, 0.4, 0.0])
    fine = np.interp(np.arange(4001), np.arange(0, 4001, 1000), corners)
    expected = looped(fine)[:, ::1000]
    expected[1] = bs.annealing_sums(fine)[1][::1000]  # the loop counts a warm-up as a drop
    np.testing.assert_allclose(bs.annealing_sums(corners, steps=4001), expected, rtol=1e-9)
    smooth = bs.annealing_sums(np.interp(np.linspace(0, 1, 201), SHARES, COSINE), steps=STEPS)
    np.testing.assert_allclose(np.transpose(smooth)[-1], looped(COSINE)[:, -1], rtol=1e-4)


@pytest.mark.parametrize(
    ("rates", "more", "said"),
    [
        ([1.0], {}, "rates: two or more numbers"),
        ([[1.0, 0.5]], {}, "rates: two or more numbers"),
        ("cosine", {}, "rates: two or more numbers"),
        ([1.0, -0.5], {}, "rates: two or more numbers"),
        ([1.0, np.nan], {}, "rates: two or more numbers"),
        ([0.0, 0.0], {}, "one of them above 0"),
        (
            [1.0, 0.5, 0.1],
            {"steps": 2},
            "steps: one number, as many as rates or more; found 2 of 3",
        ),
        ([1.0, 0.5], {"steps": "many"}, "steps: one number"),
        ([1.0, 0.5], {"decay": 1.0}, "decay: a share per step from 0 to below 1"),
        ([1.0, -0.5], {"decay": "slow"}, "; decay: a share"),
    ],
)
def test_sums_refuse(rates, more, said):
    with pytest.raises(SpecError) as caught:
        bs.annealing_sums(rates, **more)
    assert said in str(caught.value)


# --- the law -------------------------------------------------------------------------------------

PAPER = {"L0": 2.4, "A": 30.0, "alpha": 0.5, "C": 2e-4}


def test_the_law_is_the_papers_equation():
    area, drop = (v[1999::1000] for v in bs.annealing_sums(COSINE))
    law = bind(bs.Annealing(), {"lr_sum": area, "lr_drop": drop})
    np.testing.assert_allclose(dict(law.reference)["lr_drop"], drop.max(), rtol=1e-5)
    np.testing.assert_allclose(
        dict(law.reference)["lr_sum"], np.exp(np.log(area).mean()), rtol=1e-5
    )
    got = law(law.from_paper(PAPER), {"lr_sum": area, "lr_drop": drop})
    np.testing.assert_allclose(got, 2.4 + 30.0 * area**-0.5 - 2e-4 * drop, rtol=1e-12)


def test_a_table_without_a_decay_binds():
    law = bind(bs.Annealing(), {"lr_sum": np.array([10.0, 1000.0]), "lr_drop": np.zeros(2)})
    assert dict(law.reference) == {"lr_sum": 100.0, "lr_drop": 1.0}


def test_one_decay_tells_the_end_of_another_schedule():
    """Points of a decayed run, a hundredth apart, predict what a cosine would have ended at."""
    rng = np.random.default_rng(0)
    area, drop = (v[1999::200] for v in bs.annealing_sums(WSD))
    loss = (2.4 + 30.0 * area**-0.5 - 2e-4 * drop) * np.exp(0.001 * rng.normal(size=len(area)))
    runs = bs.read_runs({"lr_sum": area, "lr_drop": drop, "loss": loss}, require=("lr_sum", "loss"))
    fit = bs.fit(bs.ScalingModel(bs.Annealing(), bs.Normal()), runs, method="laplace")
    assert fit.attrs["k_hat"] < 0.7
    ends = [v[-1] for v in looped(COSINE)]
    there = bs.predict(fit, dict(zip(("lr_sum", "lr_drop"), ends, strict=True))).loss_mean
    truth = 2.4 + 30.0 * ends[0] ** -0.5 - 2e-4 * ends[1]
    low, high = np.quantile(there, [0.0005, 0.9995])
    assert low < truth < high
    assert high / low < 1.01
    flat = bs.predict(fit, {"lr_sum": 2e4, "lr_drop": 0.0})
    assert float(flat.loss_mean.median()) > truth
    assert np.isfinite(flat.beyond.item())
    with pytest.raises(SpecError, match="lr_drop: sizes must be positive"):
        bs.predict(fit, {"lr_sum": 2e4, "lr_drop": -1.0})
    came = bs.gate(fit, {"lr_sum": 2e4, "lr_drop": 0.0, "loss": float(flat.loss_mean.median())})
    assert came.status == "PASS"


def test_a_table_without_a_decay_says_nothing_of_it():
    runs = {"lr_sum": np.geomspace(1e3, 1e5, 12), "lr_drop": 0.0}
    runs = bs.read_runs(
        {**runs, "lr_drop": np.zeros(12), "loss": 2 + runs["lr_sum"] ** -0.2},
        require=("lr_sum", "lr_drop", "loss"),
    )
    with pytest.raises(FitError, match="lr_drop 0; add runs at two other values of lr_drop, above"):
        bs.fit(bs.ScalingModel(bs.Annealing()), runs)
    assert bs.summary(
        runs.assign(lr_drop=[0.0, *range(11)]), coordinates=("lr_sum", "lr_drop")
    ).verdicts[2] == ("lr_drop", "PASS", "values of lr_drop from 0 to 10", "nothing to do")


def test_a_drop_below_zero_is_no_drop():
    with pytest.raises(TableError, match="'lr_drop': 1 value is below 0"):
        bs.read_runs({"lr_sum": [1e3, 2e3], "lr_drop": [0.0, -1.0], "loss": [3.0, 2.9]}, require=())


# --- a run under way -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def card():
    return bs.load_posterior("chinchilla")


def flight(rng, end, rates, sigma=None, share=None, drop=None):
    """Simulate a run of the plan in 100 points that ends at `end`, the rest from the priors.

    The law is restated here on purpose.
    """
    prior = {k: dict(v.args) for k, v in {"share": SHARE, "alpha": ALPHA, "phi": PHI}.items()}
    share = rng.beta(prior["share"]["a"], prior["share"]["b"]) if share is None else share
    alpha = rng.lognormal(np.log(prior["alpha"]["median"]), prior["alpha"]["sigma"])
    phi = rng.beta(prior["phi"]["a"], prior["phi"]["b"])
    sigma = abs(rng.normal(0, 0.02)) if sigma is None else sigma
    drop = abs(rng.normal(0, 0.1)) if drop is None else drop
    at = np.arange(1, 101) / 100
    s1, s2 = (v[(at * STEPS).astype(int) - 1] for v in looped(rates))
    mean = 1 - share + share * (s1 / s1[-1]) ** -alpha + drop * (1 - s2 / s2[-1])
    noise = [rng.normal()]
    for _ in range(99):
        noise.append(phi * noise[-1] + np.sqrt(1 - phi**2) * rng.normal())
    loss = end * mean * np.exp(sigma * np.array(noise))
    return pd.DataFrame({"tokens": at * PLAN["tokens"], "loss": loss})


def seen(curve, share, rates=None, steps=STEPS, **more):
    """The first part of a curve, looked at."""
    rows = curve[curve["tokens"] <= share * PLAN["tokens"] * (1 + 1e-9)]
    planned = {} if rates is None else {"schedule": rates, "steps": steps}
    return bs.in_flight(rows, **{"final": PLAN["tokens"], **planned, **more})


def test_a_decay_that_is_seen_tells_the_end():
    """0.2 % of residuals; the interval fails to hold the end once in 1,000."""
    curve = flight(np.random.default_rng(0), 2.2, WSD, sigma=0.002, share=0.2, drop=0.08)
    early, late = (seen(curve, c, WSD) for c in (0.65, 0.9))
    for ahead in (early, late):
        low, high = ahead.draws.loss_end.quantile([0.0005, 0.9995])
        assert low < 2.2 < high
        assert ahead.trusted
    low, high = late.draws["drop"].quantile([0.0005, 0.9995])
    assert low < 0.08 * 2.2 < high
    assert late.draws.loss_end.std() < 0.3 * early.draws.loss_end.std()
    assert [f.name for f in early.findings if f.status == "NOTE"] == ["decay"]
    assert "decay" not in {f.name for f in late.findings}
    assert late.p > SURPRISING > seen(curve, 0.9).p  # of a constant rate they are no losses


def test_a_run_on_a_cosine_is_held_to_the_law_of_final_losses(card):
    end = float(bs.predict(card, PLAN).loss_run.median())
    on = flight(np.random.default_rng(1), end, COSINE, sigma=0.003, share=0.15, drop=0.08)
    off = on.assign(loss=1.08 * on["loss"])
    good, bad = (seen(c, 0.75, COSINE, fit=card, plan=PLAN) for c in (on, off))
    assert good.status == "PASS"
    assert good.seen == 0.75
    assert bad.alarm
    assert bad.status == "STOP"


def test_a_schedule_that_does_not_decay_changes_nothing():
    curve = flight(np.random.default_rng(2), 2.2, WSD, sigma=0.003)
    plain = seen(curve, 0.5)
    flat = seen(curve, 0.5, [3e-4, 3e-4])
    np.testing.assert_array_equal(flat.draws.loss_end, plain.draws.loss_end)
    assert "drop" not in plain.draws
    assert {f.name for f in plain.findings} - {f.name for f in flat.findings} == {"learning rate"}


def test_steps_of_the_curve_are_steps_of_the_schedule():
    curve = flight(np.random.default_rng(3), 2.2, COSINE, sigma=0.003)
    steps = pd.DataFrame({"steps": curve.index + 1.0, "loss": curve["loss"]}).assign(
        steps=lambda d: d["steps"] * STEPS / 100
    )
    a = bs.in_flight(steps[:60], final=STEPS, schedule=COSINE)
    b = seen(curve, 0.6, COSINE)
    np.testing.assert_allclose(a.draws.loss_end, b.draws.loss_end, rtol=1e-6)
    longer = seen(curve, 0.6, COSINE, steps=10 * STEPS)  # a drop is then felt sooner
    assert not np.allclose(longer.draws.loss_end, b.draws.loss_end, rtol=1e-6)


def test_points_before_the_peak_are_left_out():
    rates = np.interp(SHARES, [0.0, 0.2, 1.0], [0.0, 1.0, 0.0])
    curve = flight(np.random.default_rng(4), 2.2, COSINE, sigma=0.003)
    other = curve.assign(loss=np.where(curve.index < 19, 5.0, curve["loss"]))
    ends = [seen(c, 0.6, rates).draws.loss_end for c in (curve, other)]
    np.testing.assert_array_equal(*ends)


@pytest.mark.parametrize("rates", [COSINE, WSD, 1.0 - 0.9 * np.sin(2.5 * SHARES)])
def test_a_curve_is_in_shares_of_its_schedules_sums(rates):
    """The last one rises again at the end; 500 pieces of a smooth schedule lose little."""
    at = np.array([0.3, 0.5, 0.75, 0.9, 1.0])
    coarse = rates[np.linspace(0, STEPS - 1, 501).astype(int)]
    points = _annealed(at, 0.0 * at, coarse, STEPS)
    s1, s2 = looped(rates)
    here = (at * STEPS).astype(int) - 1
    np.testing.assert_allclose(points.area, s1[here] / s1[-1], rtol=2e-3)
    np.testing.assert_allclose(points.drop, s2[here] / s2.max(), atol=5e-3)
    np.testing.assert_allclose(points.left, 1 - s2[-1] / s2.max(), atol=5e-3)


@pytest.mark.parametrize("left", [0.0, 0.4])
def test_the_curve_ends_where_it_is_said_to(left):
    """Also where the rate rises at the end again, and some of the drop is taken back."""
    v = {"log_end": 0.8, "share": 0.2, "alpha": 0.5, "delta": 0.1}
    one = np.ones(1)
    curve = Points(one, one, one, (1 - left) * one, left)
    np.testing.assert_allclose(curve.mean(v), 0.8, rtol=1e-12)


def test_both_parts_of_the_prior_have_their_due():
    """Against draws of the wide part alone, of whose 8,000 some 2,400 count when weighed."""
    curve = flight(np.random.default_rng(5), 2.25, WSD, sigma=0.004)
    at = np.arange(0.08, 0.6, 0.01)
    points = Points(at, np.log(curve["loss"].to_numpy()[7 : 7 + len(at)]), at / 0.85, 0.0 * at)
    narrow, wide = Part(0.9, np.log(2.1), 0.03), Part(0.1, np.log(2.1), 0.1)
    found, k_hat = posterior(points, (narrow, wide), seed=0, draws=2000)
    alone = [posterior(points, (wide,), seed=s, draws=2000)[0]["log_end"] for s in range(1, 5)]
    both, x = found["log_end"], np.ravel(alone)
    assert k_hat < 0.7
    assert both.shape == alone[0].shape
    weight = 0.1 + 0.9 * stats.norm.pdf(x, narrow.mean, 0.03) / stats.norm.pdf(x, wide.mean, 0.1)
    for level in np.log(2.1) + np.array([0.0, 0.03, 0.05, 0.1]):
        p = np.average(x > level, weights=weight)
        sd = np.sqrt(p * (1 - p) * (1 / 2000 + 1 / 2400))
        assert abs(float((both > level).mean()) - p) < 4 * sd


def test_a_decaying_schedule_needs_steps_and_all_is_said_at_once():
    curve = flight(np.random.default_rng(6), 2.2, COSINE)
    with pytest.raises(SpecError) as caught:
        bs.in_flight(curve[:50], schedule=[1.0, 0.1])
    text = str(caught.value)
    assert text.startswith("in_flight: 2 problems\n")
    assert "final: the planned end of the run, tokens" in text
    assert "steps: optimizer steps of the whole run, more than 100, which a schedule that" in text


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"schedule": [1.0, 0.1], "steps": 50}, "steps: optimizer steps of the whole run"),
        ({"schedule": [1.0, 0.1], "steps": "1e5"}, "cannot do without; found '1e5'"),
        ({"schedule": [0.0, 0.0]}, "schedule: learning rates at equal steps are wanted"),
        ({"schedule": []}, "schedule: learning rates at equal steps are wanted"),
        ({"schedule": [1.0, np.nan]}, "schedule: learning rates at equal steps are wanted"),
        (
            {"schedule": np.interp(SHARES, [0, 0.45, 1], [0, 1, 0]), "steps": 1e4},
            "come back at 7.36e+10",
        ),
    ],
)
def test_what_of_a_schedule_is_refused(more, said):
    curve = flight(np.random.default_rng(7), 2.2, COSINE)
    with pytest.raises(SpecError) as caught:
        bs.in_flight(curve[:50], final=PLAN["tokens"], **more)
    assert said in str(caught.value)


def test_a_schedule_must_be_the_one_that_is_run(card):
    curve = flight(np.random.default_rng(8), 2.1, COSINE, sigma=0.003)
    ran = curve.assign(lr=3e-4 * np.interp(curve["tokens"] / PLAN["tokens"], SHARES, COSINE))
    a, b = (seen(c, 0.5, COSINE, fit=card, plan=PLAN) for c in (ran, curve))
    np.testing.assert_array_equal(a.draws.loss_end, b.draws.loss_end)
    blip = ran.assign(lr=ran["lr"].where(~ran.index.isin([20, 30, 40]), 1e-5))
    assert seen(blip, 0.5, COSINE).seen == 0.5  # three hundredths out of line are no schedule
    for rates in (WSD, [1.0, 1.0]):
        with pytest.raises(SpecError, match="schedule: it is not what the curve's column lr says"):
            seen(ran, 0.5, rates)
    with pytest.raises(SpecError, match="give `schedule` and `steps`"):
        seen(ran, 0.5, fit=card, plan=PLAN)


@pytest.mark.slow
@pytest.mark.parametrize("rates", [COSINE, WSD], ids=["cosine", "wsd"])
def test_false_alarms_are_rare_on_schedules_that_decay(card, rates):
    rng, losses = np.random.default_rng(9), bs.predict(card, PLAN).loss_run.values.ravel()
    raised = []
    for _ in range(60):
        curve = flight(rng, rng.choice(losses), rates)
        looks = (seen(curve, c, rates, fit=card, plan=PLAN) for c in (0.35, 0.6, 0.85))
        raised.append(any(ahead.alarm for ahead in looks))
    assert sum(raised) <= stats.binom.isf(1e-4, 60, 0.05)


@pytest.mark.slow
@pytest.mark.parametrize("rates", [COSINE, WSD], ids=["cosine", "wsd"])
def test_the_end_is_calibrated_on_schedules_that_decay(card, rates):
    """Ends from the prior that the law of final losses makes, looked at in the middle."""
    rng, losses = np.random.default_rng(10), bs.predict(card, PLAN).loss_run.values.ravel()
    low, high = np.log(np.quantile(losses, [0.05, 0.95]))
    pits = []
    for _ in range(100):
        sd = 0.1 if rng.uniform() < 0.1 else (high - low) / 2 / stats.norm.isf(0.05)
        end = np.exp(0.5 * (low + high) + sd * rng.normal())
        ahead = seen(flight(rng, end, rates), 0.8, rates, fit=card, plan=PLAN)
        pits.append(float((ahead.draws.loss_end < end).mean()))
    assert stats.kstest(pits, "uniform").pvalue > 1e-4
