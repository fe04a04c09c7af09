"""Where releases are published. None is yet: until then, images are built from this repository."""

REGISTRY = "ghcr.io/jobtide"
HOME = "https://github.com/jobtide/jobtide"
IMAGES = ("controller", "worker")


def image_name(image: str) -> str:
    """The repository of one of IMAGES, without a tag."""
    return f"{REGISTRY}/{image}"
