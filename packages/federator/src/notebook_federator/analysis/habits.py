"""What calls of well-known names usually do, where the code itself is not at hand."""

from __future__ import annotations

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


PASSING = _words(
    "enumerate zip iter reversed list tuple sorted map filter next getattr dict set vars min max"
)
"""Builtins whose result holds, or is, what they are given."""

SELF_METHODS = _words(
    """to cuda cpu train eval float double half bfloat16 requires_grad_ apply parameters named_parameters
    modules named_modules children named_children buffers items values keys get setdefault view reshape pop
    get_submodule"""
)
"""Methods whose result is the object they are called on, or a part of it."""

CHANGING_METHODS = _words(
    """append extend insert pop popitem remove clear add discard update setdefault sort reverse appendleft
    load_state_dict train eval cuda cpu to apply fit fit_transform partial_fit compile build shuffle step
    backward zero_grad add_module register_buffer register_parameter freeze unfreeze send"""
)
"""Methods that change the object they are called on even where their result is used."""

ARGUMENT_METHODS = _words("fit train run step prepare attach setup apply_to load_into")
"""Methods that change what they are given (``trainer.fit(model)``)."""

CHANGING_FUNCTIONS = _words("next setattr delattr shuffle heappush heappop heapify insort")
"""Functions that change what they are given even where their result is used."""

PRESENTATION = _words(
    """matplotlib seaborn plotly bokeh altair IPython ipywidgets warnings logging tqdm pprint rich
    torchsummary torchinfo torchviz gc time wandb mlflow"""
)
"""Modules whose calls are for the eye; a slice needs none of their effects."""

DATA_NAME = re.compile(
    r"^(data|dataset|root|base|input|image|images|img|train)?_?(data)?_?(path|dir|directory|root|folder)$",
    re.IGNORECASE,
)
"""Top-level names that hold the data folder: parameters, when they are assigned one string."""

EPOCHS_NAME = re.compile(
    r"^(((num|number_of|n|nb|max|total|local|no)_?)?epochs?|epochs?_(num|count))$", re.IGNORECASE
)
"""Top-level names that hold the number of epochs: parameters, when they are assigned one integer."""

DRAWING = PRESENTATION - _words("warnings logging tqdm gc time rich wandb mlflow pprint")
"""Modules that only draw: their calls are left out of marked cells too."""

INSPECTING = _words("head tail describe info hist plot summary value_counts display show imshow help dir")
"""Methods and functions that show something, when their result is thrown away."""

FLOWER = _words("flwr flower")

_INERT = re.compile(
    r"^(print|pprint|display|help|len|repr|type|dir|isinstance|sleep|collect|empty_cache|summary|describe|info|"
    r"head|tail|hist|scatter|show|imshow|plot|draw|visuali[sz]e|title|legend|figure|subplots?|tight_layout|"
    r"save|savefig|dump|to_csv|write|log|debug|warning|close|value_counts|sample|get_ipython|exit|quit|"
    r"assert_\w+|check_\w+)(_\w+)?$"
)
_SETTING = re.compile(
    r"seed|determin|^set_(?!print|option|style|theme|context|palette|title|x|y)|^enable_|^use_|^register_"
)


def is_inert(name: str) -> bool:
    """Whether a call of ``name`` only shows, saves or checks something."""
    return bool(_INERT.match(name)) or name.startswith(("show_", "plot_", "print_", "display_", "draw_"))


def is_setting(name: str) -> bool:
    """Whether a library call of ``name`` changes the library for what follows (``manual_seed``)."""
    return bool(_SETTING.search(name))


def changes_receiver(name: str, *, statement: bool) -> bool:
    """Whether calling method ``name`` changes the object it is called on."""
    if name in CHANGING_METHODS or (name.endswith("_") and not name.startswith("_")):
        return True
    return statement and not is_inert(name)
