"""A slider over the steps of a battle, for a notebook that is running."""

import base64
import io
from typing import Any

from envs.errors import ConfigError
from experiments.figures.battle import Battle
from experiments.figures.battle_views import DOTS, step_view

PLAY_MILLISECONDS = 700  # a step, so that a picture is drawn in time


class Browser:
    """`step_view` with a slider and a play button; where there are no widgets, as on GitHub, one picture."""

    def __init__(self, battle: Battle, step: int):
        import ipywidgets as widgets

        self._battle, self._pictures = battle, {}
        self.picture = widgets.Image(value=self.png(step), format="png", layout=widgets.Layout(max_width="100%"))
        range_ = {"min": 0, "max": battle.steps, "value": step}
        self.slider = widgets.IntSlider(
            **range_, description="step", layout=widgets.Layout(width="70%"), continuous_update=False
        )
        self.play = widgets.Play(**range_, interval=PLAY_MILLISECONDS)
        widgets.jslink((self.play, "value"), (self.slider, "value"))
        self.slider.observe(self._moved, "value")
        self.box = widgets.VBox([widgets.HBox([self.play, self.slider]), self.picture])

    def png(self, step: int) -> bytes:
        """The picture of a step, drawn when it is first asked for."""
        if step not in self._pictures:
            file = io.BytesIO()
            step_view(self._battle, step).savefig(file, dpi=DOTS)
            self._pictures[step] = file.getvalue()
        return self._pictures[step]

    def _moved(self, change: dict[str, Any]) -> None:
        self.picture.value = self.png(change["new"])

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        shown = base64.b64encode(self.png(self.slider.value)).decode()
        return {**self.box._repr_mimebundle_(**kwargs), "image/png": shown}


def browse(battle: Battle, step: int | None = None) -> Browser:
    """A slider over the steps of a battle that begins at `step` (None: the first at which an agent or enemy falls).

    Raises:
      ConfigError: no ipywidgets, or no such step.
    """
    try:
        import ipywidgets  # noqa: F401
    except ImportError:
        raise ConfigError('the slider needs ipywidgets: pip install "iacjax[notebooks]"') from None
    from experiments.figures.episode_drawing import falls

    fallen = falls(battle.kept).any(1)
    return Browser(battle, int(fallen.argmax()) if step is None else step)
