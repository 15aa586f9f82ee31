"""The pages, each made of the loaded parts and the parameters of its address."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from model_loop.dashboard.page import Page
from model_loop.dashboard.page_data import PageSources
from model_loop.dashboard.pages.data import data_page
from model_loop.dashboard.pages.models import models_page
from model_loop.dashboard.pages.monitoring import monitoring_page
from model_loop.dashboard.pages.overview import overview_page
from model_loop.dashboard.pages.playground import playground_page

#: Function that makes each page, by its name, in the order of the menu.
PAGES: Mapping[str, Callable[[PageSources, Mapping[str, str]], Page]] = MappingProxyType(
    {
        "overview": overview_page,
        "data": data_page,
        "models": models_page,
        "monitoring": monitoring_page,
        "playground": playground_page,
    }
)
