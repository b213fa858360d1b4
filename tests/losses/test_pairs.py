"""Where sampled pairs lie."""

import torch

from depthmix.losses.draws import draw, pick
from depthmix.losses.pairs import edge_anchors, edge_quadruples, image_edges, plane_anchors, quadruples

H, W = 96, 128
CPU = torch.device("cpu")


def draws(count: int, rows: int, step: int = 0):
    return draw(count * rows, 0, step, CPU).view(rows, count)


def stripes(period: int = 16):
    """Dark and bright vertical stripes all over the width."""
    bright = torch.arange(W) // (period // 2) % 2
    return (60 + 120 * bright).to(torch.uint8).expand(1, 3, H, W).clone()


def step_picture(angle: float):
    """Dark on one side of a line through the middle, bright in the direction of `angle`."""
    v, u = torch.meshgrid(torch.arange(H) - H / 2, torch.arange(W) - W / 2, indexing="ij")
    way = torch.tensor(angle)
    return (100.0 * (u * way.cos() + v * way.sin() > 0)).expand(1, 3, H, W)


def split(index):
    return index % W, index // W


def test_edge_points_spread_over_the_whole_width():
    # By true division of flat indices every column of public code fell into 0..30, edges or not.
    u, v = split(edge_quadruples(stripes(), draws(2000, 5)))
    shares = torch.histc(u.float(), bins=8, min=0, max=W) / u.numel()
    assert shares.min() > 0.06
    assert torch.histc(v.float(), bins=8, min=0, max=H).min() > 0.06 * v.numel()


def test_every_edge_anchor_lies_on_an_edge():
    place, _ = edge_anchors(stripes(), draws(500, 1)[0])
    assert set((place % W % 8).flatten().tolist()) == {0, 7}


def test_direction_keeps_its_sign_all_the_way_round():
    # From absolute gradients every direction pointed into the first quadrant.
    for angle in torch.arange(0, 2 * torch.pi, torch.pi / 6).tolist():
        u, v = split(edge_quadruples(step_picture(angle), draws(200, 5))[0])
        far, way = torch.stack([u[3] - u[0], v[3] - v[0]]).float().mean(1), torch.tensor(angle)
        cosine = (far[0] * way.cos() + far[1] * way.sin()) / far.norm()
        assert cosine > 0.97


def test_points_lie_in_order_at_two_to_thirty_pixels_of_an_image_of_384():
    index = edge_quadruples(stripes(64).repeat_interleave(4, 2).repeat_interleave(4, 3), draws(4000, 5))
    anchor, _ = edge_anchors(stripes(64).repeat_interleave(4, 2).repeat_interleave(4, 3), draws(4000, 5)[0])
    away = index[0] % (4 * W) - anchor[0] % (4 * W)
    inside = (away.abs().amax(0) > 0) & (anchor[0] % (4 * W) > 31) & (anchor[0] % (4 * W) < 4 * W - 32)
    away = away[:, inside] * away[3, inside].sign()
    assert away.abs().min() == 2
    assert away.abs().max() == 30
    assert (away.diff(dim=0) >= 4).all()


def test_threshold_is_that_of_each_picture():
    faint, strong = stripes() // 16, stripes()
    both = torch.cat([faint, strong])
    together, alone = edge_quadruples(both, draws(100, 5)), edge_quadruples(faint, draws(100, 5))
    assert torch.equal(together[:1], alone)


def test_points_outside_the_picture_move_to_its_border():
    corner = torch.zeros(1, 8, dtype=torch.long)
    index = quadruples(corner, torch.ones(1, 2, 8), draws(8, 4), (H, W))
    assert torch.equal(index[:, :2], torch.zeros(1, 2, 8, dtype=torch.long))
    assert (index[:, 2:] > 0).all()


def test_a_flat_picture_has_no_edge_and_gives_four_times_one_pixel():
    index = edge_quadruples(torch.full((2, 3, H, W), 77, dtype=torch.uint8), draws(50, 5))
    assert torch.equal(index, index[:, :1].expand_as(index))


def test_edges_do_not_depend_on_the_unit_of_the_picture():
    picture = stripes()
    assert torch.equal(
        edge_quadruples(picture, draws(100, 5)), edge_quadruples(picture.double() / 255, draws(100, 5))
    )


def test_image_edges_are_sobels_filter():
    picture = torch.rand(2, 3, 9, 11, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    magnitude, du, dv = image_edges(picture)
    grey = (picture * torch.tensor([77.0, 150, 29])[:, None, None] / 256).sum(1)
    grey = torch.nn.functional.pad(grey, (1, 1, 1, 1), mode="replicate")
    for b, v, u in ((0, 0, 0), (1, 4, 5), (0, 8, 10), (1, 3, 0)):
        box = grey[b, v : v + 3, u : u + 3]
        kernel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]], dtype=torch.float64)
        expected = (box * kernel).sum(), (box * kernel.T).sum()
        torch.testing.assert_close((du[b, 0, v, u], dv[b, 0, v, u]), expected)
        torch.testing.assert_close(magnitude[b, 0, v, u], torch.stack(expected).norm())


def test_plane_pairs_cross_the_border_or_stay_inside():
    planes = torch.zeros(1, 1, H, W, dtype=torch.int32)
    planes[..., 30:70, 20:100] = 7
    index = quadruples(*plane_anchors(planes, draws(600, 1)[0]), draws(600, 4, 1), (H, W))
    ids = planes.flatten(1)[0][index[0]]
    crossing = ids[1] != ids[2]
    assert crossing.float().mean() > 0.95
    assert (ids[0] == ids[1]).float().mean() > 0.9
    assert (ids[2] == ids[3]).float().mean() > 0.9
    u, v = split(index)
    assert set(torch.unique((u[0, 1] < 20) | (v[0, 1] < 30)).tolist()) == {True, False}


def test_a_picture_without_planes_gives_four_times_one_pixel():
    anchors = plane_anchors(torch.zeros(2, 1, H, W, dtype=torch.int32), draws(50, 1)[0])
    index = quadruples(*anchors, draws(50, 4), (H, W))
    assert torch.equal(index, index[:, :1].expand_as(index))


def test_picks_lie_in_the_mask():
    mask = torch.rand(3, H * W, generator=torch.Generator().manual_seed(0)) < 0.01
    assert mask.gather(1, pick(mask, draws(500, 1)[0])).all()
