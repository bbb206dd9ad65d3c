"""The settings a run starts from, by name, and how they get lighter where memory runs out."""

from collections.abc import Mapping
from dataclasses import replace

from solver.config.settings import HOUR, Config, EngineSettings, ProgramSettings, TrainRecipe
from solver.tokens.grid import LONGEST_REPLY

IDLE_CORES = ProgramSettings(30.0, 2_000_000)  # where cores stand idle beside GPUs
KAGGLE = Config(
    time_limit=10.5 * HOUR,
    views=32,
    group=8,
    reserve=600.0,
    train=TrainRecipe(steps=64, tokens=8192, adapters_per_batch=8),
    engine=EngineSettings(context=8192, cache_bytes=16 << 30, adapters=8, sequences=256),
    programs=IDLE_CORES,
)
PRESETS: Mapping[str, Config] = {
    "cpu": Config(),
    "smoke": Config(
        time_limit=120.0,
        views=4,
        group=2,
        refinement_stages=2,
        train=TrainRecipe(steps=2, tokens=1024),
        programs=ProgramSettings(1.0),
    ),
    "h200": Config(
        time_limit=12 * HOUR,
        views=64,
        group=16,
        reserve=120.0,
        train=TrainRecipe(steps=64, tokens=16384, adapters_per_batch=16),
        engine=EngineSettings(context=8192, cache_bytes=96 << 30, adapters=16, sequences=512),
        programs=IDLE_CORES,
    ),
    "kaggle-l4x4": KAGGLE,
    "kaggle-t4x2": replace(KAGGLE, engine=replace(KAGGLE.engine, cache_bytes=8 << 30, sequences=128, dtype="float16")),
}
LADDER = ("smaller batches", "a shorter context", "fewer views", "an engine with less memory")


def lighter(config: Config, level: int) -> Config:
    """The settings with less need of memory: the first `level` steps of `LADDER`, at most all of them."""
    train, engine = config.train, config.engine
    if level >= 1:
        train = replace(train, tokens=max(1, train.tokens // 2), adapters_per_batch=(train.adapters_per_batch + 1) // 2)
        engine = replace(engine, sequences=max(1, engine.sequences // 2))
    if level >= 2:
        engine = replace(engine, context=max(LONGEST_REPLY + 1, engine.context * 2 // 3))
    if level >= 4:
        engine = replace(engine, cache_bytes=engine.cache_bytes // 2)
    views, quick_views = config.views, config.quick_views
    if level >= 3:
        views, quick_views = max(1, views // 2), (quick_views + 1) // 2
    orders = min(config.orders, views)
    return replace(config, train=train, engine=engine, views=views, quick_views=quick_views, orders=orders)
