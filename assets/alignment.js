/* Alignments that answer: they take the place of the picture in the cell before the tables that
   unrolled.figures.alignment_explorer wrote, and show the numbers of these tables. */
const alignments = (() => {
  const SIDES = ["source", "target"];
  const OTHER = { source: "target", target: "source" };
  const LEAST_LINE = 0.02; // no line for a smaller weight
  const LEAST_SAID = 0.05; // and no word
  const MOST_SAID = 4;
  const [THIN, THICK] = [0.8, 6]; // pixels, of a line of weight 0 and 1
  const QUIET = 400; // milliseconds without a change, before the sentence says the new numbers

  const texts = (cells) => [...cells].map((cell) => cell.textContent);

  /* Title, pieces and weights from 0 to 1, a row for each piece of the target. */
  function read(table) {
    return {
      title: table.caption.textContent,
      source: texts(table.querySelectorAll("thead th")).slice(1),
      target: texts(table.querySelectorAll("tbody th")),
      weights: [...table.querySelectorAll("tbody tr")].map((row) =>
        texts(row.querySelectorAll("td")).map((percent) => Number(percent) / 100)),
    };
  }

  /* The weights between one piece and all of the other side. */
  const looks = ({ weights }, side, index) =>
    side === "target" ? weights[index] : weights.map((row) => row[index]);

  // --- The words. ---

  const percent = (share) => `${Math.round(100 * share)}\u00a0%`;
  const spoken = (piece) => (piece === "␣" ? "the blank" : `“${piece}”`);
  const listed = (parts) => parts.length < 2
    ? parts.join("") : `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}`;

  function inWords(example, side, index) {
    const pieces = example[side];
    const others = example[OTHER[side]];
    const shares = looks(example, side, index);
    const largest = shares.map((share, k) => [share, k])
      .filter(([share]) => share >= LEAST_SAID)
      .sort(([one], [other]) => other - one)
      .slice(0, MOST_SAID);
    const found = listed(largest.map(([share, k]) =>
      `${spoken(others[k])} (${k + 1}) with ${percent(share)}`));
    const piece = `${spoken(pieces[index])} (${index + 1} of ${pieces.length})`;
    if (side === "target") {
      return found
        ? `To write ${piece} the decoder looks at ${found}.`
        : `To write ${piece} the decoder gives no piece ${percent(LEAST_SAID)} or more.`;
    }
    return found
      ? `The decoder looks at ${piece} to write ${found}.`
      : `The decoder never looks at ${piece} with ${percent(LEAST_SAID)} or more.`;
  }

  // --- The drawing. ---

  let built = 0;

  function build(figure, examples) {
    const name = `alignment-example-${++built}`;
    const frame = document.createElement("div");
    frame.className = "explorer alignment";
    frame.innerHTML = `
      <p class="alignment-choice"><label for="${name}">example</label>
        <select id="${name}"></select></p>
      <div class="alignment-drawing"><svg aria-hidden="true"></svg>
        <div class="alignment-pieces" role="toolbar" aria-label="source"></div>
        <div class="alignment-pieces" role="toolbar" aria-label="target"></div></div>
      <p role="status"></p>`;
    const choice = frame.querySelector("select");
    const svg = frame.querySelector("svg");
    const words = frame.querySelector('[role="status"]');
    const [source, target] = frame.querySelectorAll('[role="toolbar"]');
    const bars = { source, target };
    const buttons = { source: [], target: [] };
    examples.forEach(({ title }) => choice.append(new Option(title)));
    choice.parentElement.hidden = examples.length < 2;

    let example;
    let selected;
    let wordsDue;

    /* Lines from the selected piece to those it belongs to, as thick as the weights. */
    function drawLines() {
      const { side, index } = selected;
      const room = svg.getBoundingClientRect();
      const end = (which, k) => {
        const box = buttons[which][k].getBoundingClientRect();
        const edge = which === "source" ? box.bottom : box.top;
        return `${(box.left + box.width / 2 - room.left).toFixed(1)} ${(edge - room.top).toFixed(1)}`;
      };
      const from = end(side, index);
      svg.innerHTML = looks(example, side, index).map((share, k) => share < LEAST_LINE ? "" :
        `<path d="M${from}L${end(OTHER[side], k)}" `
        + `stroke-width="${(THIN + (THICK - THIN) * share).toFixed(2)}"/>`).join("");
    }

    function select(side, index, { quiet = QUIET } = {}) {
      selected = { side, index };
      const shares = looks(example, side, index);
      buttons[side].forEach((piece, k) => {
        piece.setAttribute("aria-pressed", k === index);
        piece.tabIndex = k === index ? 0 : -1;
        piece.style.removeProperty("--weight");
      });
      const strongest = shares.indexOf(Math.max(...shares));
      buttons[OTHER[side]].forEach((piece, k) => {
        piece.setAttribute("aria-pressed", false);
        piece.tabIndex = k === strongest ? 0 : -1;
        piece.style.setProperty("--weight", shares[k]);
      });
      drawLines();
      clearTimeout(wordsDue);
      const say = () => (words.textContent = inWords(example, side, index));
      if (quiet) wordsDue = setTimeout(say, quiet);
      else say();
    }

    function show(number) {
      example = examples[number];
      for (const side of SIDES) {
        buttons[side] = example[side].map((piece) => {
          const button = document.createElement("button");
          button.type = "button";
          button.textContent = piece;
          if (piece === "␣") button.setAttribute("aria-label", "blank");
          return button;
        });
        // A word ends with its blank, and goes on in the next line only where it must.
        const words = [[]];
        for (const button of buttons[side]) {
          words.at(-1).push(button);
          if (button.textContent === "␣") words.push([]);
        }
        bars[side].replaceChildren(...words.map((letters) => {
          const word = document.createElement("span");
          word.append(...letters);
          return word;
        }));
      }
      select("target", 0, { quiet: 0 });
    }

    const pieceAt = (event) => {
      const piece = event.target.closest('[role="toolbar"] button');
      if (!piece) return null;
      const side = source.contains(piece) ? "source" : "target";
      return [side, buttons[side].indexOf(piece)];
    };
    for (const kind of ["pointerover", "focusin", "click"]) {
      frame.addEventListener(kind, (event) => {
        const at = pieceAt(event);
        if (at && (at[0] !== selected.side || at[1] !== selected.index)) select(...at);
      });
    }
    frame.addEventListener("keydown", (event) => {
      const at = pieceAt(event);
      if (!at) return;
      const [side, index] = at;
      const last = example[side].length - 1;
      const row = {
        ArrowLeft: Math.max(index - 1, 0),
        ArrowRight: Math.min(index + 1, last),
        Home: 0,
        End: last,
      }[event.key];
      const across = { ArrowUp: "source", ArrowDown: "target" }[event.key];
      if (row === undefined && across !== OTHER[side]) return;
      event.preventDefault();
      // To the other side: where most of the weight is.
      const there = row === undefined
        ? buttons[across].find((piece) => piece.tabIndex === 0) : buttons[side][row];
      there.focus();
    });
    choice.addEventListener("change", () => show(choice.selectedIndex));

    figure.prepend(frame);
    show(0);
    // All went well: now it takes the picture's place.
    figure.classList.add("explorer-runs");
    new ResizeObserver(drawLines).observe(frame);
  }

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll(".alignment-tables").forEach((tables) => {
      const figure = tables.closest(".cell")?.previousElementSibling?.querySelector("figure");
      const examples = [...tables.querySelectorAll("table")].map(read);
      if (figure) build(figure, examples);
    });
  });
  return { read, inWords };
})();
