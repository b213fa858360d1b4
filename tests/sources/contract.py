from depthmix.testing.contract import *  # noqa: F403
from depthmix.testing.contract import SourceContract, Truth, digest, listing, same_partition  # noqa: F401
from tests.light import import_footprint  # noqa: F401
