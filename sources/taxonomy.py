"""What classes of segmentation data sets are flat: by name, never by number, which differs by release.

The names of Cityscapes (34), COCO panoptic (133), ADE20K (150), Mapillary Vistas (66) and NYU40 / ScanNet
were gone through one by one. A name that is not listed has no role, and reading it is an error: a class of
another data set is added here after someone looked at what its pixels show.
"""

import re
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Final

from depthmix.errors import BadSource

__all__ = ["Role", "own_roles", "plain_name", "role_of", "roles_of"]


class Role(Enum):
    """What a class says about geometry.

    GROUND: lies flat and level, one plane for all its pixels unless the ground itself bends.
    PLANE: each instance or connected region is one plane.
    PIECEWISE: made of flat faces, but one region may hold several of them: a wall round a corner, a house.
    SKY: has no depth.
    OTHER: not flat, or what is seen is not where it seems to be (glass, mirrors, water).
    """

    GROUND = "ground"
    PLANE = "plane"
    PIECEWISE = "piecewise"
    SKY = "sky"
    OTHER = "other"


def plain_name(name: str) -> str:
    """Reduce a class name to lower-case words, so that spellings of different data sets meet.

    Example:
        >>> plain_name("floor-wood"), plain_name("Lane Marking - General"), plain_name("sky-other-merged")
        ('floor wood', 'lane marking general', 'sky')
    """
    words = re.sub(r"[^a-z0-9]+", " ", name.lower()).split()
    return " ".join(word for word in words if word not in ("merged", "other", "stuff")) or "other"


def role_of(name: str) -> Role | None:
    """Return the role of a class, or None when the reviewed table lacks it.

    ADE20K's own list names a class by several words, "building, edifice": then the first one counts.
    """
    return _ROLES.get(plain_name(name)) or _ROLES.get(plain_name(re.split("[,;]", name)[0]))


def roles_of(names: dict[int, str], own: dict[str, Role], file: Path) -> dict[int, Role]:
    """Return the role of each class number.

    Args:
        names: the data set's own table of numbers and names.
        own: roles for names that the reviewed table lacks, or sees otherwise, see `own_roles`.
        file: where the names were read, for messages.

    Raises:
        BadSource: a name has no role.
    """
    stated = {number: own.get(plain_name(name)) or role_of(name) for number, name in names.items()}
    unknown = [names[number] for number, role in stated.items() if role is None]
    if unknown:
        hint = "state the role by the option `roles`, or mend the name"
        reason = f"the class {unknown[0]!r} is not in the reviewed table"
        raise BadSource(reason, file=file, field="class names", hint=hint)
    return {number: role for number, role in stated.items() if role is not None}


def own_roles(roles: Mapping[str, str]) -> dict[str, Role]:
    """Check the roles that a user states for class names.

    Raises:
        ValueError: a role is none.
    """
    known = {role.value: role for role in Role}
    for name, role in roles.items():
        if role not in known:
            raise ValueError(f"`roles` must hold one of {', '.join(known)}, got {role!r} for {name!r}")
    return {plain_name(name): known[role] for name, role in roles.items()}


def _table() -> dict[str, Role]:
    texts = {
        Role.GROUND: """
            road; street; ground; floor; floor wood; lane marking crosswalk; lane marking general; crosswalk
            plain; bike lane; service lane; parking; pedestrian area; sidewalk; pavement; runway;
            playingfield; platform; curb cut; manhole; catch basin; rug; floor mat; conveyer belt; path""",
        Role.PLANE: """
            ceiling; door; door stuff; table; coffee table; dining table; pool table; desk; counter;
            countertop; kitchen island; whiteboard; bulletin board; picture; painting; poster; signboard;
            trade name; billboard; traffic sign; traffic sign front; traffic sign back; stop sign; crt screen;
            monitor; screen; tv; television; television receiver; book; paper; cardboard; blind; blinds;
            window blind; screen door; bookshelf; bookcase; wardrobe; banner; wall tile; wall brick; wall
            wood; stage; pier; tray""",
        Role.PIECEWISE: """
            wall; wall stone; building; house; skyscraper; hovel; roof; tunnel; bridge; barrier; cabinet;
            shelf; shelves; refrigerator; refridgerator; chest of drawers; dresser; buffet; night stand; box;
            case; stairs; stairway; step; fireplace; oven; stove; microwave; dishwasher; washer; arcade
            machine; escalator; booth; junction box; phone booth; structure; base; grandstand; bar; radiator;
            hood""",
        Role.SKY: "sky",
        Role.OTHER: """
            unlabeled; ego vehicle; rectification border; out of roi; static; dynamic; rail track; railroad;
            fence; guard rail; pole; polegroup; utility pole; traffic light; vegetation; terrain; person;
            rider; car; truck; bus; caravan; trailer; train; motorcycle; bicycle; license plate; bird; ground
            animal; curb; bicyclist; motorcyclist; rider; mountain; sand; snow; water; bench; bike rack; cctv
            camera; fire hydrant; mailbox; pothole; street light; traffic sign frame; trash can; boat; on
            rails; vehicle; wheeled slow; car mount; blanket; curtain; flower; fruit; gravel; light; mirror;
            net; pillow; river; sea; tent; towel; window; tree; grass; dirt; food; rock; airplane; parking
            meter; cat; dog; horse; sheep; cow; elephant; bear; zebra; giraffe; backpack; umbrella; handbag;
            tie; suitcase; frisbee; skis; snowboard; sports ball; kite; baseball bat; baseball glove;
            skateboard; surfboard; tennis racket; bottle; wine glass; cup; fork; knife; spoon; bowl; banana;
            apple; sandwich; orange; broccoli; carrot; hot dog; pizza; donut; cake; chair; couch; potted
            plant; bed; toilet; laptop; mouse; remote; keyboard; cell phone; toaster; sink; clock; vase;
            scissors; teddy bear; hair drier; toothbrush; animal; apparel; armchair; ashcan; awning; bag;
            ball; bannister; barrel; basket; bathtub; canopy; chandelier; column; computer; cradle; cushion;
            dirt track; earth; fan; field; flag; fountain; glass; hill; lake; lamp; land; minibike; ottoman;
            palm; plant; plate; plaything; pot; railing; sconce; sculpture; seat; ship; shower; shower
            curtain; sofa; stool; streetlight; swimming pool; swivel chair; tank; tower; van; waterfall;
            windowpane; books; clothes; prop; furniture; otherstructure; otherfurniture; otherprop; other""",
    }
    return {name: role for role, text in texts.items() for name in _names(text)}


def _names(text: str) -> list[str]:
    return [plain_name(name) for name in text.split(";")]


_ROLES: Final = _table()
