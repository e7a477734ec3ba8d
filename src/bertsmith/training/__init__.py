"""Vectors -> weights: one loop, its optimizer, schedules, precision and order of rows."""

from bertsmith.training.loop import Evaluation, FitResult, fit
from bertsmith.training.loss import Loss, LossFunction
from bertsmith.training.options import FitOptions
from bertsmith.training.plan import BatchPlan, Plan
from bertsmith.training.precision import Precision, choose_device, choose_precision
from bertsmith.training.step import Progress, State

__all__ = [
    "BatchPlan",
    "Evaluation",
    "FitOptions",
    "FitResult",
    "Loss",
    "LossFunction",
    "Plan",
    "Precision",
    "Progress",
    "State",
    "choose_device",
    "choose_precision",
    "fit",
]
