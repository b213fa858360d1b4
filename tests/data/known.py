from depthmix.testing.known import *  # noqa: F403
