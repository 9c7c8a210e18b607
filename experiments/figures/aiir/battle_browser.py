"""A slider over the steps of a battle, for a notebook that is running."""

import asyncio
import base64
import io
from typing import Any

from envs.errors import ConfigError
from experiments.figures.aiir.battle import RecordedBattle
from experiments.figures.aiir.battle_views import DOTS, step_view

PLAY_MILLISECONDS, DRAWN_MILLISECONDS = 700, 300  # per step, while frames are being drawn and afterwards
IDLE_SECONDS = 0.1  # between two frames that are drawn ahead, in which the kernel can do other work


class Browser:
    """`step_view` with a slider and a play button; without widgets, as on GitHub, one image.

    Drawing an image takes the kernel half a second. When it is idle it draws the next ones, so that the slider later
    reacts at once.
    """

    def __init__(self, battle: RecordedBattle, step: int):
        import ipywidgets as widgets

        self._battle, self._pictures, self._loop = battle, {}, None
        self.picture = widgets.Image(value=self.png(step), format="png", layout=widgets.Layout(max_width="100%"))
        range_ = {"min": 0, "max": battle.steps, "value": step}
        self.slider = widgets.IntSlider(**range_, description="step", layout=widgets.Layout(width="70%"))
        self.play = widgets.Play(**range_, interval=PLAY_MILLISECONDS)
        widgets.jslink((self.play, "value"), (self.slider, "value"))
        self.slider.observe(self._moved, "value")
        self.box = widgets.VBox([widgets.HBox([self.play, self.slider]), self.picture])

    def png(self, step: int) -> bytes:
        """The image of a step, drawn when it is first needed."""
        if step not in self._pictures:
            file = io.BytesIO()
            step_view(self._battle, step).savefig(file, dpi=DOTS)
            self._pictures[step] = file.getvalue()
        return self._pictures[step]

    def _moved(self, change: dict[str, Any]) -> None:
        self.picture.value = self.png(change["new"])

    def draw_ahead(self) -> bool:
        """Draws the next missing image after the one that is shown; False if none is missing."""
        missing = set(range(self._battle.steps + 1)) - set(self._pictures)
        ahead = sorted(missing, key=lambda step: (step < self.slider.value, step))
        for step in ahead[:1]:
            self.png(step)
        return len(ahead) > 1

    def _idle(self) -> None:
        if self.draw_ahead():
            self._loop.call_later(IDLE_SECONDS, self._idle)
        else:
            self.play.interval = DRAWN_MILLISECONDS

    def _start_drawing(self) -> None:
        """Starts drawing in the kernel's event loop, between cells; without a loop, images are drawn when needed."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        if self._loop is None:
            self._loop = loop
            loop.call_later(IDLE_SECONDS, self._idle)

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        self._start_drawing()
        shown = base64.b64encode(self.png(self.slider.value)).decode()
        return {**self.box._repr_mimebundle_(**kwargs), "image/png": shown}


def browse(battle: RecordedBattle, step: int | None = None) -> Browser:
    """A slider over the steps of a battle, starting at `step` (None: the first in which a unit dies).

    Raises:
      ConfigError: no ipywidgets, or no such step.
    """
    try:
        import ipywidgets  # noqa: F401
    except ImportError:
        raise ConfigError('the slider needs ipywidgets: pip install "iacjax[notebooks]"') from None
    from experiments.figures.aiir.episode_drawing import falls

    fallen = falls(battle.data).any(1)
    return Browser(battle, int(fallen.argmax()) if step is None else step)
