"""Where radiographs come from: how they are listed, and how one is fetched."""

from cxr_screening.sources.fetching import Fetcher, FetchError
from cxr_screening.sources.items import Item, pack, unpack
from cxr_screening.sources.listing import Listing, list_source

__all__ = ["FetchError", "Fetcher", "Item", "Listing", "list_source", "pack", "unpack"]
