// Coverage: how many tiles each zoom has, and where those of one zoom lie.

import { byId, row } from "./elements.js";
import { ask } from "./server.js";
import { Cells, view } from "./grid.js";

export class Coverage {
  constructor(map) {
    this.map = map;
    this.cells = new Cells(map, "coverage");
  }

  // Fills the table and returns the zooms that have tiles.
  async load() {
    const { zooms } = await ask("/coverage");
    byId("coverage-rows").replaceChildren(
      ...zooms.map(({ zoom, tiles }) => row(zoom, tiles.toLocaleString("en"))),
    );
    return zooms.map(({ zoom }) => zoom);
  }

  // Draws the cells on the screen, the darker the more of a cell is covered.
  async draw(zoom) {
    const found = await ask(`/coverage/${zoom}`, view(this.map), "coverage");
    if (found === null) return;
    this.cells.draw(found.cells.map(([x, y, tiles]) => ({
      zoom: found.cell_zoom,
      x,
      y,
      style: {
        color: "#56b4e9",
        weight: 1,
        fillOpacity: 0.15 + (0.5 * tiles) / found.places_in_a_cell,
      },
    })));
    const tiles = found.tiles.toLocaleString("en");
    byId("coverage-view").textContent =
      `In view: ${tiles} tiles of zoom ${zoom} in ${found.cells.length} cells`;
  }

  clear() {
    this.cells.clear();
    byId("coverage-view").textContent = "";
  }
}
