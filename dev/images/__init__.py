"""Programs that build images, and the base image where no registry can be reached."""
