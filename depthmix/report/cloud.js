"use strict";
// Points in space on a canvas: no library, nothing fetched. Each figure.cloud holds one scene.
for (const figure of document.querySelectorAll("figure.cloud")) {
  const canvas = figure.querySelector("canvas");
  const paper = canvas.getContext && canvas.getContext("2d");
  if (!paper) continue; // the still picture stays
  const bytes = Uint8Array.from(atob(canvas.dataset.points), (letter) => letter.charCodeAt(0));
  const read = new DataView(bytes.buffer);
  const count = bytes.length / 10;
  const low = JSON.parse(canvas.dataset.low), high = JSON.parse(canvas.dataset.high);
  const centre = JSON.parse(canvas.dataset.centre);
  const place = new Float32Array(3 * count);
  const reach = Number(canvas.dataset.reach);
  for (let i = 0; i < count; i++) {
    for (let axis = 0; axis < 3; axis++) {
      const part = read.getUint16(10 * i + 2 * axis, true) / 65535;
      place[3 * i + axis] = low[axis] + part * (high[axis] - low[axis]) - centre[axis];
    }
  }
  const tints = [[46, 134, 222], [230, 110, 20]];
  const start = { turn: 0.45, tilt: 0.3, zoom: 1 };
  const view = { ...start };
  const picture = paper.createImageData(canvas.width, canvas.height);
  const nearest = new Float32Array(canvas.width * canvas.height);
  const chosen = (name) => {
    const found = figure.querySelector(`input[data-role="${name}"]:checked`);
    return found ? found.value : "";
  };

  function draw() {
    const { width, height } = canvas;
    const [ct, st, cp, sp] = [Math.cos(view.turn), Math.sin(view.turn), Math.cos(view.tilt), Math.sin(view.tilt)];
    const distance = 2 * reach, scale = 0.8 * width * view.zoom;
    const which = chosen("which"), tinted = chosen("colour") === "tint";
    picture.data.fill(0);
    nearest.fill(Infinity);
    for (let i = 0; i < count; i++) {
      const group = bytes[10 * i + 9];
      if ((which === "label" && group) || (which === "prediction" && !group)) continue;
      const px = place[3 * i], py = place[3 * i + 1], pz = place[3 * i + 2];
      const x = ct * px + st * pz, z = -st * px + ct * pz;
      const ahead = sp * py + cp * z + distance;
      if (ahead <= 0) continue;
      const column = Math.round(width / 2 + scale * x / ahead);
      const row = Math.round(height / 2 + scale * (cp * py - sp * z) / ahead);
      let [red, green, blue] = bytes.subarray(10 * i + 6, 10 * i + 9);
      if (tinted) {
        const brightness = 0.55 + 0.75 * (red + green + blue) / 765;
        [red, green, blue] = tints[group].map((part) => Math.min(255, part * brightness));
      }
      for (let k = 0; k < 4; k++) {
        const c = column + (k & 1), r = row + (k >> 1);
        if (c < 0 || r < 0 || c >= width || r >= height) continue;
        const at = r * width + c;
        if (nearest[at] <= ahead) continue;
        nearest[at] = ahead;
        picture.data.set([red, green, blue, 255], 4 * at);
      }
    }
    paper.putImageData(picture, 0, 0);
  }

  function move(turn, tilt, zoom) {
    view.turn += turn;
    view.tilt = Math.max(-1.5, Math.min(1.5, view.tilt + tilt));
    view.zoom = Math.max(0.2, Math.min(8, view.zoom * zoom));
    draw();
  }

  const keys = {
    ArrowLeft: () => move(-0.1, 0, 1), ArrowRight: () => move(0.1, 0, 1),
    ArrowUp: () => move(0, 0.1, 1), ArrowDown: () => move(0, -0.1, 1),
    "+": () => move(0, 0, 1.15), "=": () => move(0, 0, 1.15), "-": () => move(0, 0, 1 / 1.15),
    0: () => { Object.assign(view, start); draw(); },
  };
  canvas.addEventListener("keydown", (event) => {
    if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    keys[event.key]();
  });
  canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
  canvas.addEventListener("pointermove", (event) => {
    if (event.buttons & 1) move(event.movementX / 150, event.movementY / 150, 1);
  });
  canvas.addEventListener("wheel", (event) => {
    if (document.activeElement !== canvas) return; // else the page would no longer scroll past
    event.preventDefault();
    move(0, 0, event.deltaY < 0 ? 1.1 : 1 / 1.1);
  }, { passive: false });
  for (const input of figure.querySelectorAll("input")) input.addEventListener("change", draw);
  figure.querySelector("img").hidden = true;
  for (const part of figure.querySelectorAll(".live")) part.hidden = false;
  draw();
}
