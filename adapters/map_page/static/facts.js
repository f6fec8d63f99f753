// The facts of the tiles at one place.

import { byId, element } from "./elements.js";
import { ask } from "./server.js";
import { Cells } from "./grid.js";

const days = (seconds) => `${(seconds / 86400).toFixed(1)} days`;

export class Facts {
  constructor(map) {
    this.cells = new Cells(map, "chosen");
    this.box = byId("facts");
  }

  async show(zoom, { x, y }, at) {
    const found = await ask(`/tiles/${zoom}/${x}/${y}`, { at }, "facts");
    if (found === null) return "";
    this.cells.draw([{ zoom, x, y, style: { color: "#ffffff", weight: 3 } }]);
    if (!found.tiles.length) {
      const line = `No tile at ${found.place}`;
      this.box.replaceChildren(element("p", line));
      return line;
    }
    this.box.replaceChildren(...found.tiles.map((tile) => this.list(tile, found.datasets_known)));
    return `Tile ${found.tiles[0].tile}: ${found.tiles[0].verdict.decision}`;
  }

  list(tile, datasetsKnown) {
    const { verdict } = tile;
    const place = verdict.sector === null ? "no sector, the default" : `sector ${verdict.sector}`;
    const rows = {
      tile: tile.tile,
      captured: tile.captured_at,
      verdict: `${verdict.decision} by ${place} (${verdict.classification} allows ${days(verdict.max_age_seconds)})`,
      age: days(verdict.age_seconds),
      dataset: tile.dataset ?? (datasetsKnown ? "none" : "unknown while the database is away"),
      "SHA-256": tile.content_sha256,
      bytes: tile.bytes.toLocaleString("en"),
      "label at write": tile.label_at_write,
      vote: tile.voting_status ?? "none",
      pinned: tile.pinned ? "yes" : "no",
    };
    const list = document.createElement("dl");
    for (const [name, value] of Object.entries(rows)) {
      list.append(element("dt", name), element("dd", value));
    }
    const command = document.createElement("dd");
    command.append(element("code", tile.command));
    list.append(element("dt", "explained by"), command);
    return list;
  }
}
