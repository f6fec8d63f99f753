// Freshness: the verdicts on the tiles in view, as of now or of a chosen time.

import { byId } from "./elements.js";
import { ask } from "./server.js";
import { Cells, view } from "./grid.js";

const COLOURS = { fresh: "#0072b2", downgraded: "#e69f00", rejected: "#c43c00" };
const DAY = 86400000;

export class Freshness {
  constructor(map, whenChanged) {
    this.map = map;
    this.cells = new Cells(map, "freshness");
    this.days = byId("days");
    this.field = byId("at");
    this.at = null;
    this.days.addEventListener("input", () => this.choose(new Date(Date.now() + this.days.value * DAY)));
    this.field.addEventListener("change", () => {
      if (this.field.value) this.choose(new Date(`${this.field.value}Z`));
      else this.choose(null);
    });
    byId("now").addEventListener("click", () => this.choose(null));
    this.whenChanged = whenChanged;
    this.show();
  }

  // A time to judge by; null: now.
  choose(time) {
    this.at = time === null ? null : `${time.toISOString().slice(0, 16)}Z`;
    this.show();
    this.whenChanged();
  }

  show() {
    const time = this.at === null ? new Date() : new Date(this.at);
    this.field.value = time.toISOString().slice(0, 16);
    this.days.value = Math.round((time - Date.now()) / DAY);
    const words = this.at === null ? "now" : this.at.replace("T", " ").replace("Z", " UTC");
    this.days.setAttribute("aria-valuetext", words);
  }

  async draw(zoom) {
    const found = await ask(`/freshness/${zoom}`, { ...view(this.map), at: this.at }, "freshness");
    if (found === null) return;
    const text = byId("freshness-view");
    if (!found.judged) {
      this.cells.clear();
      const [tiles, most] = [found.tiles, found.most_judged].map((count) => count.toLocaleString("en"));
      text.textContent = `${tiles} tiles in view; zoom in, ${most} are judged at a time`;
      return;
    }
    const sums = { fresh: 0, downgraded: 0, rejected: 0 };
    this.cells.draw(found.cells.map(([x, y, fresh, downgraded, rejected]) => {
      sums.fresh += fresh;
      sums.downgraded += downgraded;
      sums.rejected += rejected;
      // The strictest verdict in a cell colours it, so that no old tile hides behind fresh ones.
      const color = COLOURS[rejected ? "rejected" : downgraded ? "downgraded" : "fresh"];
      const style = { color, weight: rejected ? 3 : 1, dashArray: rejected ? "4 3" : null, fillOpacity: 0.35 };
      return { zoom: found.cell_zoom, x, y, style };
    }));
    const when = found.is_now ? "now" : found.at.slice(0, 16).replace("T", " ") + " UTC";
    const clock = found.clock_fault === null ? "" : `; the clock is not trusted: ${found.clock_fault}`;
    text.textContent =
      `As of ${when}: ${sums.fresh} fresh, ${sums.downgraded} downgraded, ${sums.rejected} rejected${clock}`;
  }

  clear() {
    this.cells.clear();
    byId("freshness-view").textContent = "";
  }
}
