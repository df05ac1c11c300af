"""Opens a file written by toplens the way its users do. Exit code 77: xarray is not installed."""
import sys

try:
    import netCDF4  # noqa: F401
    import numpy as np
    import xarray
except ImportError as error:
    print(error)
    sys.exit(77)

data = xarray.open_dataset(sys.argv[1])
f = data["f_score"]
assert f.dims == ("document", "layer", "head", "ranking", "distance", "set_size"), f.dims
assert f.dtype == np.float32, f.dtype
assert list(data["document"].values) == ["story.txt@0", "story.txt@63"], data["document"]
assert list(data["ranking"].values) == ["attention", "random"], data["ranking"]
assert list(data["set_size"].values) == [2, 4, 8], data["set_size"]
one = f.sel(document="story.txt@63", layer=1, head=2, ranking="random", distance="cosine", set_size=4)
assert float(one) == 1 - (1 + 1 + 2 + 2 + 3 + 1 + 2) / 32, float(one)
undefined = f.sel(layer=1, head=0, set_size=8)
assert undefined.isnull().all() and not f.sel(set_size=4).isnull().any()
assert np.isnan(f.encoding["_FillValue"])
assert f.attrs["units"] == "1" and f.attrs["long_name"].startswith("F-score"), f.attrs
assert data.attrs["tool"] == "toplens", data.attrs
