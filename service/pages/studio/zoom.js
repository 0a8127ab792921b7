/** Zoom and pan, in step for all pictures of a stage: by wheel, pinch, drag and keys. */

const MOST = 16;

export class Zoom {
  /** @param {HTMLElement} stage the pictures in it follow `--zoom`, `--x` and `--y` */
  constructor(stage) {
    this.stage = stage;
    /** @type {Map<number, PointerEvent>} */
    this.pointers = new Map();
    this.zoom = 1;
    this.x = 0;
    this.y = 0;
    this.show();
    stage.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.by(Math.exp(-event.deltaY / 400), event);
    }, { passive: false });
    stage.addEventListener("pointerdown", (event) => {
      if (event.target instanceof HTMLInputElement) return;
      stage.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, event);
    });
    stage.addEventListener("pointermove", (event) => this.drag(event));
    for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, (event) => this.pointers.delete(/** @type {PointerEvent} */ (event).pointerId));
    stage.addEventListener("dblclick", (event) => (this.zoom > 1 ? this.reset() : this.by(3, event)));
  }

  reset() {
    this.zoom = 1;
    this.x = 0;
    this.y = 0;
    this.show();
  }

  /** @param {number} factor @param {MouseEvent | null} at the point that stays where it is */
  by(factor, at = null) {
    const zoom = Math.max(1, Math.min(MOST, this.zoom * factor));
    const real = zoom / this.zoom;
    if (at !== null) {
      const pane = paneAt(this.stage, at).getBoundingClientRect();
      const [px, py] = [(at.clientX - pane.left) / pane.width - 0.5, (at.clientY - pane.top) / pane.height - 0.5];
      this.x = px - (px - this.x) * real;
      this.y = py - (py - this.y) * real;
    } else {
      this.x *= real;
      this.y *= real;
    }
    this.zoom = zoom;
    this.show();
  }

  /** @param {number} x @param {number} y parts of a pane */
  pan(x, y) {
    this.x += x;
    this.y += y;
    this.show();
  }

  /** @param {PointerEvent} event */
  drag(event) {
    const last = this.pointers.get(event.pointerId);
    if (last === undefined) return;
    const others = [...this.pointers.values()].filter((other) => other.pointerId !== event.pointerId);
    const [other] = others;
    const pane = paneAt(this.stage, event).getBoundingClientRect();
    if (other === undefined) {
      this.pan((event.clientX - last.clientX) / pane.width, (event.clientY - last.clientY) / pane.height);
    } else {
      const far = (/** @type {PointerEvent} */ one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
      this.by(far(event) / Math.max(1, far(last)), event);
    }
    this.pointers.set(event.pointerId, event);
  }

  show() {
    const most = (this.zoom - 1) / 2;
    this.x = Math.max(-most, Math.min(most, this.x));
    this.y = Math.max(-most, Math.min(most, this.y));
    this.stage.style.setProperty("--zoom", String(this.zoom));
    this.stage.style.setProperty("--x", `${this.x * 100}%`);
    this.stage.style.setProperty("--y", `${this.y * 100}%`);
    this.stage.classList.toggle("near", this.zoom > 3);
  }
}

/** @param {HTMLElement} stage @param {MouseEvent} at */
function paneAt(stage, at) {
  const panes = [...stage.querySelectorAll(".pane")].filter((pane) => pane.getClientRects().length > 0);
  return panes.find((pane) => {
    const box = pane.getBoundingClientRect();
    return at.clientX >= box.left && at.clientX <= box.right && at.clientY >= box.top && at.clientY <= box.bottom;
  }) ?? panes[0] ?? stage;
}
