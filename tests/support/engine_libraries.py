"""What the server of `forked` imports before it forks: the engine and the trainer, nothing built, no thread started."""

from __future__ import annotations

import gc

from solver.hardware.engine import prepare

prepare(1)  # the environment, before it is read on import
gc.disable()

import peft  # noqa: E402, F401
import torch._dynamo  # noqa: E402, F401
from vllm import LLM, ModelRegistry  # noqa: E402, F401 (loaded when they are asked for)

from solver.inference import vllm_sampler  # noqa: E402, F401
from solver.training import trainer  # noqa: E402, F401

gc.collect()
gc.freeze()  # stays shared between the forked processes
gc.enable()
