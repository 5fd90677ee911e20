"""Decisions as functionals of the posterior: computed per draw, with the law itself."""

from bayes_scaling.decision.allocate import allocate
from bayes_scaling.decision.asymptote import asymptotes
from bayes_scaling.decision.batch import batch_tradeoff, critical_batch, largest_batch
from bayes_scaling.decision.counting import Transformers, recount
from bayes_scaling.decision.decide import decide, plan_of
from bayes_scaling.decision.design import next_runs, run_cards
from bayes_scaling.decision.drivers import driven_by_data
from bayes_scaling.decision.exchange import best_test_time, cheapest_test_time, exchange_rate
from bayes_scaling.decision.experts import routing
from bayes_scaling.decision.experts_plan import best_experts, total_params
from bayes_scaling.decision.filtering import best_pool
from bayes_scaling.decision.items import (
    ComputeBudget,
    DataWall,
    Deadline,
    GpuBudget,
    Hardware,
    LossTarget,
    MoneyBudget,
    ServingDemand,
    ServingMemory,
    Shelf,
    SizeLimits,
    StepLimit,
)
from bayes_scaling.decision.lifetime import break_even, implied_demand, lifetime
from bayes_scaling.decision.mixture import best_mixture
from bayes_scaling.decision.noise_scale import batch_prior, noise_scale
from bayes_scaling.decision.proxy import proxy
from bayes_scaling.decision.rates import rates
from bayes_scaling.decision.reach import (
    compute_to_reach,
    iso_loss,
    saturation,
    saturation_prior,
    size_to_reach,
)
from bayes_scaling.decision.repetition import epochs
from bayes_scaling.decision.sampling import best_sampler, sample_flops, samples_for
from bayes_scaling.decision.sparsity import best_granularity, best_sparsity
from bayes_scaling.decision.speedup import speedup
from bayes_scaling.decision.steps import size_penalty, step_allocation
from bayes_scaling.decision.tasks import compute_for_task, rank_agreement, task_forecast
from bayes_scaling.decision.transfer import sweep_optima, transfer
from bayes_scaling.decision.trend import threshold_date
from bayes_scaling.decision.tuning import recommend, setting_cost
from bayes_scaling.decision.wall import data_wall, wall_year
from bayes_scaling.decision.words import plan_table, sentence

__all__ = [
    "ComputeBudget",
    "DataWall",
    "Deadline",
    "GpuBudget",
    "Hardware",
    "LossTarget",
    "MoneyBudget",
    "ServingDemand",
    "ServingMemory",
    "Shelf",
    "SizeLimits",
    "StepLimit",
    "Transformers",
    "allocate",
    "asymptotes",
    "batch_prior",
    "batch_tradeoff",
    "best_experts",
    "best_granularity",
    "best_mixture",
    "best_pool",
    "best_sampler",
    "best_sparsity",
    "best_test_time",
    "break_even",
    "cheapest_test_time",
    "compute_for_task",
    "compute_to_reach",
    "critical_batch",
    "data_wall",
    "decide",
    "driven_by_data",
    "epochs",
    "exchange_rate",
    "implied_demand",
    "iso_loss",
    "largest_batch",
    "lifetime",
    "next_runs",
    "noise_scale",
    "plan_of",
    "plan_table",
    "proxy",
    "rank_agreement",
    "rates",
    "recommend",
    "recount",
    "routing",
    "run_cards",
    "sample_flops",
    "samples_for",
    "saturation",
    "saturation_prior",
    "sentence",
    "setting_cost",
    "size_penalty",
    "size_to_reach",
    "speedup",
    "step_allocation",
    "sweep_optima",
    "task_forecast",
    "threshold_date",
    "total_params",
    "transfer",
    "wall_year",
]
