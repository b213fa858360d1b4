"""`depthmix predict`: photos -> depth, with a trained checkpoint."""


__all__ = ["add_arguments", "run"]
