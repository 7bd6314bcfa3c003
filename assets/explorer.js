/* The drawing of chapter 9 that answers. It takes the place of the figure `fig-explorer`, and
   computes the same numbers as unrolled.figures.explorer, where they are explained. */
const explorer = (() => {
  const UNITS = 16;
  const SYMBOLS = 4;
  const SEQUENCES = 400; // to fit the reader, and as many to test it
  const TRACED = 8; // of the fresh ones
  const SYMBOL = 0.5;
  const NOISE = 0.15;
  const RIDGE = 1e-6;
  const SEED = 1;
  const START = { radius: 1, nonlinearity: "tanh", length: 50 };

  // Name: what it is called here, the function, and its slope where its value is h.
  const NONLINEARITIES = {
    identity: ["linear", (z) => z, () => 1],
    tanh: ["tanh", Math.tanh, (h) => 1 - h * h],
    sigmoid: ["sigmoid", (z) => 1 / (1 + Math.exp(-z)), (h) => h * (1 - h)],
  };

  // --- The numbers. A matrix is one array, row after row of UNITS numbers. ---

  const zeros = (rows) => new Float64Array(rows * UNITS);

  /* Numbers from -1 to 1, one a call: mulberry32. */
  const random = (seed) => () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let bits = Math.imul(seed ^ (seed >>> 15), seed | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    return ((bits ^ (bits >>> 14)) >>> 0) / 0x80000000 - 1;
  };

  /* Row i of one matrix times row j of another. */
  function dot(one, i, other, j) {
    let sum = 0;
    for (let k = 0; k < UNITS; k++) sum += one[i * UNITS + k] * other[j * UNITS + k];
    return sum;
  }

  /* A times B transposed. */
  function product(a, b) {
    const rows = a.length / UNITS;
    const columns = b.length / UNITS;
    const found = new Float64Array(rows * columns);
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < columns; j++) found[i * columns + j] = dot(a, i, b, j);
    }
    return found;
  }

  const transposed = (a) => a.map((_, index) => a[(index % UNITS) * UNITS + ((index / UNITS) | 0)]);

  /* Gram and Schmidt: each column of a matrix made orthogonal to those before it. */
  function orthogonal(a) {
    const found = transposed(a);
    for (let i = 0; i < UNITS; i++) {
      // Twice: the first time leaves a little behind.
      for (let j = 0; j < 2 * i; j++) {
        const share = dot(found, i, found, j % i);
        for (let k = 0; k < UNITS; k++) found[i * UNITS + k] -= share * found[(j % i) * UNITS + k];
      }
      const norm = Math.sqrt(dot(found, i, found, i));
      for (let k = 0; k < UNITS; k++) found[i * UNITS + k] /= norm;
    }
    return transposed(found);
  }

  /* The largest singular value: Jacobi's rotations turn A times A transposed diagonal. */
  function spectralNorm(matrix) {
    const a = product(matrix, matrix);
    const at = (i, j) => i * UNITS + j;
    let trace = 0;
    for (let i = 0; i < UNITS; i++) trace += a[at(i, i)];
    for (let rotated = true; rotated; ) {
      rotated = false;
      for (let p = 0; p < UNITS; p++) {
        for (let q = p + 1; q < UNITS; q++) {
          const off = a[at(p, q)];
          if (Math.abs(off) <= 1e-14 * trace) continue;
          rotated = true;
          const half = (a[at(q, q)] - a[at(p, p)]) / (2 * off);
          const tangent = (half < 0 ? -1 : 1) / (Math.abs(half) + Math.sqrt(half * half + 1));
          const cosine = 1 / Math.sqrt(tangent * tangent + 1);
          const sine = tangent * cosine;
          a[at(p, p)] -= tangent * off;
          a[at(q, q)] += tangent * off;
          a[at(p, q)] = a[at(q, p)] = 0;
          for (let k = 0; k < UNITS; k++) {
            if (k === p || k === q) continue;
            const one = a[at(p, k)];
            const other = a[at(q, k)];
            a[at(p, k)] = a[at(k, p)] = cosine * one - sine * other;
            a[at(q, k)] = a[at(k, q)] = sine * one + cosine * other;
          }
        }
      }
    }
    let largest = 0;
    for (let i = 0; i < UNITS; i++) largest = Math.max(largest, a[at(i, i)]);
    return Math.sqrt(largest);
  }

  /* Solve A x = b for each row b, with A symmetric and positive, its lower half given: Cholesky. */
  function solve(a, sides) {
    const lower = zeros(UNITS);
    for (let i = 0; i < UNITS; i++) {
      for (let j = 0; j <= i; j++) {
        const rest = a[i * UNITS + j] - dot(lower, i, lower, j);
        lower[i * UNITS + j] = i === j ? Math.sqrt(rest) : rest / lower[j * UNITS + j];
      }
    }
    const x = sides.slice();
    for (let start = 0; start < x.length; start += UNITS) {
      for (let i = 0; i < UNITS; i++) {
        for (let k = 0; k < i; k++) x[start + i] -= lower[i * UNITS + k] * x[start + k];
        x[start + i] /= lower[i * UNITS + i];
      }
      for (let i = UNITS - 1; i >= 0; i--) {
        for (let k = i + 1; k < UNITS; k++) x[start + i] -= lower[k * UNITS + i] * x[start + k];
        x[start + i] /= lower[i * UNITS + i];
      }
    }
    return x;
  }

  /* The share of fresh states whose symbol a linear discriminant names, fitted on the others. */
  function shareRead(states) {
    const means = zeros(SYMBOLS);
    const overall = zeros(1);
    for (let row = 0; row < SEQUENCES; row++) {
      for (let k = 0; k < UNITS; k++) {
        const value = states[row * UNITS + k];
        means[(row % SYMBOLS) * UNITS + k] += (value * SYMBOLS) / SEQUENCES;
        overall[k] += value / SEQUENCES;
      }
    }
    const within = zeros(UNITS);
    const apart = zeros(1);
    let variance = 0;
    for (let row = 0; row < SEQUENCES; row++) {
      for (let i = 0; i < UNITS; i++) {
        const value = states[row * UNITS + i];
        apart[i] = value - means[(row % SYMBOLS) * UNITS + i];
        variance += (value - overall[i]) ** 2 / (SEQUENCES * UNITS);
        for (let j = 0; j <= i; j++) {
          within[i * UNITS + j] += (apart[i] * apart[j]) / (SEQUENCES - SYMBOLS);
        }
      }
    }
    for (let i = 0; i < UNITS; i++) within[i * UNITS + i] += RIDGE * variance;
    const weights = solve(within, means);
    let right = 0;
    for (let row = SEQUENCES; row < 2 * SEQUENCES; row++) {
      let best = 0;
      let highest = -Infinity;
      for (let symbol = 0; symbol < SYMBOLS; symbol++) {
        const score = dot(weights, symbol, states, row) - dot(weights, symbol, means, symbol) / 2;
        if (score > highest) [best, highest] = [symbol, score];
      }
      if (best === row % SYMBOLS) right++;
    }
    return right / SEQUENCES;
  }

  /* For each step: the gradient's norm, the power of the radius, the share that is read right. */
  function measure({ radius, nonlinearity, length }) {
    const [, activate, slope] = NONLINEARITIES[nonlinearity];
    const next = random(SEED);
    const weight = orthogonal(zeros(UNITS).map(next)).map((value) => radius * value);
    const symbols = zeros(SYMBOLS).map(() => SYMBOL * next());

    let states = zeros(2 * SEQUENCES).map((_, index) => activate(symbols[index % symbols.length]));
    const traced = [];
    const memory = [];
    for (let step = 1; ; step++) {
      traced.push(states.slice(SEQUENCES * UNITS, (SEQUENCES + TRACED) * UNITS));
      memory.push(shareRead(states));
      if (step === length) break;
      states = product(states, weight);
      for (let i = 0; i < states.length; i++) states[i] = activate(states[i] + NOISE * next());
    }

    const gradient = new Array(length).fill(0);
    const across = transposed(weight);
    for (let sequence = 0; sequence < TRACED; sequence++) {
      let jacobian = zeros(UNITS).map((_, index) => Number(index % (UNITS + 1) === 0));
      for (let step = length - 1; step >= 0; step--) {
        gradient[step] += spectralNorm(jacobian) / TRACED;
        const slopes = traced[step].subarray(sequence * UNITS, (sequence + 1) * UNITS).map(slope);
        jacobian = product(jacobian, across.map((value, index) => value * slopes[index % UNITS]));
      }
    }
    return { gradient, power: gradient.map((_, step) => radius ** (length - 1 - step)), memory };
  }

  // --- The words. ---

  const LEAST_READ = 0.9;
  const percent = (share) => `${Math.round(100 * share)} %`;

  function amount(value) {
    const [scale, name] =
      [[1e12, " trillion"], [1e9, " billion"], [1e6, " million"]].find(([from]) => value >= from)
      ?? [1, ""];
    return Number((value / scale).toPrecision(2)).toLocaleString("en-GB") + name;
  }

  function sizeInWords(size) {
    if (size < 1e-15) return "shrinks to less than one part in a thousand trillion";
    if (size < 1e-3) return `shrinks to one part in ${amount(1 / size)}`;
    if (size < 0.95) return `shrinks to ${Number(size.toPrecision(2))} of its size`;
    if (size < 1.05) return "keeps its size";
    if (size < 1e15) return `grows to ${amount(size)} times its size`;
    return "grows to more than a thousand trillion times its size";
  }

  function inWords({ nonlinearity, length }, { gradient, power, memory }) {
    const linear = nonlinearity === "identity"
      ? "" : `; in a linear network of this radius it ${sizeInWords(power[0])}`;
    const lost = memory.findIndex((share) => share < LEAST_READ);
    const reach = lost < 0 ? "at every step" : `until step ${lost}`;
    return `Back from step ${length} to step 1 the gradient ${sizeInWords(gradient[0])}${linear}. `
      + `The first symbol is read right in at least ${percent(LEAST_READ)} of fresh sequences `
      + `${reach}; at step ${length} in ${percent(memory[length - 1])} (chance: `
      + `${percent(1 / SYMBOLS)}).`;
  }

  // --- The drawing: lengths in pixels, redrawn where the page gets wider or narrower. ---

  const [LEFT, RIGHT, KEY, HEIGHT] = [54, 10, 112, 430];
  const PANELS = {
    gradient: {
      title: "Gradient that reaches each step",
      key: ["measured", "power of the radius"],
      top: 48,
      height: 160,
      ticks: [1e-4, 1e-2, 1, 1e2, 1e4].map((value) => [value, value.toLocaleString("en-GB",
        { maximumFractionDigits: 4 })]),
      place: (value) => (Math.log10(value) + 4.2) / 8.4,
    },
    memory: {
      title: "First symbol, read at each step",
      key: ["read right", "chance"],
      top: 268,
      height: 116,
      ticks: [0, 0.5, 1].map((value) => [value, percent(value)]),
      place: (value) => (value + 0.04) / 1.08,
    },
  };

  function draw(svg, length, curves) {
    const width = svg.clientWidth;
    if (!width) return; // on paper, where the picture without script stands
    const inner = width - LEFT - RIGHT;
    const across = (step) => ((step - 1) / (length - 1)) * (inner - 12) + 6;
    const fewest = length / (width < 500 ? 6 : 11);
    const stride = [1, 2, 5, 10, 20].find((step) => step >= fewest);
    const steps = Array.from({ length }, (_, index) => index + 1);
    const marked = steps.filter((step) => step % stride === 0);

    const parts = Object.entries(PANELS).map(([name, { title, key, top, height, ticks, place }]) => {
      const down = (value) => Math.min(Math.max((1 - place(value)) * height, -9999), 9999);
      const line = (kind, values) =>
        `<path class="${kind}" d="M${values.map((value, index) =>
          `${across(index + 1).toFixed(2)} ${down(value).toFixed(2)}`).join("L")}"/>`;
      const sample = (kind, x, label) => `<path class="${kind}" d="M${x} ${top - 17}h22"/>`
        + `<text x="${x + 28}" y="${top - 13}">${label}</text>`;
      const [measured, expected] = curves[name];
      return `<text class="title" x="0" y="${top - 34}">${title}</text>`
        + sample(name, 0, key[0]) + sample("expected", KEY, key[1])
        + ticks.map(([value, label]) =>
          `<path class="rule" d="M${LEFT} ${top + down(value)}h${inner}"/>`
          + `<text text-anchor="end" x="${LEFT - 7}" y="${top + down(value) + 4}">`
          + `${label}</text>`).join("")
        + `<path class="axis" d="M${LEFT} ${top}v${height}h${inner}"/>`
        + `<svg x="${LEFT}" y="${top}" width="${inner}" height="${height}">`
        + `${line(name, measured)}${line("expected", expected)}</svg>`;
    });
    const bottom = PANELS.memory.top + PANELS.memory.height;
    const numbers = marked.map((step) => {
      const x = LEFT + across(step);
      return `<path class="axis" d="M${x} ${bottom}v4"/>`
        + `<text text-anchor="middle" x="${x}" y="${bottom + 18}">${step}</text>`;
    });
    svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    svg.innerHTML = `${parts.join("")}${numbers.join("")}`
      + `<text text-anchor="middle" x="${LEFT + inner / 2}" y="${HEIGHT - 6}">step</text>`;
  }

  // --- The controls. ---

  const SETTINGS = `
    <div class="explorer-settings" role="group" aria-label="Settings of the network">
      <div><label for="explorer-radius">radius</label>
        <output for="explorer-radius" aria-hidden="true"></output>
        <input type="range" id="explorer-radius" min="0.5" max="1.5" step="0.05"></div>
      <div><label for="explorer-length">length</label>
        <output for="explorer-length" aria-hidden="true"></output>
        <input type="range" id="explorer-length" min="5" max="100" step="1"></div>
      <fieldset><legend>activation</legend>${Object.entries(NONLINEARITIES).map(([name, [label]]) =>
        `<label><input type="radio" name="explorer-nonlinearity" value="${name}"> ${label}</label>`)
        .join(" ")}</fieldset>
    </div>
    <svg class="explorer-drawing" role="img" aria-describedby="explorer-words"
      aria-label="Two curves over the steps: the norm of the gradient that reaches each state, and
        the share of fresh sequences in which the first symbol is read right from that state"></svg>
    <p id="explorer-words" role="status"></p>`;
  const QUIET = 400; // milliseconds without a change, before the sentence says the new numbers

  function build(figure) {
    const frame = document.createElement("div");
    frame.className = "explorer";
    frame.innerHTML = SETTINGS;
    const [radius, length] = frame.querySelectorAll('[type="range"]');
    const kinds = [...frame.querySelectorAll('[type="radio"]')];
    const svg = frame.querySelector("svg");
    const words = frame.querySelector("p");
    radius.value = START.radius;
    length.value = START.length;
    kinds.forEach((kind) => (kind.checked = kind.value === START.nonlinearity));

    let settings;
    let found;
    const redraw = () => draw(svg, settings.length, {
      gradient: [found.gradient, found.power],
      memory: [found.memory, found.memory.map(() => 1 / SYMBOLS)],
    });
    function compute() {
      settings = {
        radius: radius.valueAsNumber,
        nonlinearity: kinds.find((kind) => kind.checked).value,
        length: length.valueAsNumber,
      };
      radius.previousElementSibling.value = settings.radius.toFixed(2);
      length.previousElementSibling.value = `${settings.length} steps`;
      length.setAttribute("aria-valuetext", `${settings.length} steps`);
      found = measure(settings);
      redraw();
    }
    const say = () => (words.textContent = inWords(settings, found));

    let frameDue;
    let wordsDue;
    frame.addEventListener("input", () => {
      cancelAnimationFrame(frameDue);
      clearTimeout(wordsDue);
      frameDue = requestAnimationFrame(() => {
        compute();
        wordsDue = setTimeout(say, QUIET);
      });
    });
    figure.prepend(frame);
    compute();
    say();
    // All went well: now it takes the picture's place.
    figure.classList.add("explorer-runs");
    new ResizeObserver(redraw).observe(frame);
  }

  document.addEventListener("DOMContentLoaded", () => {
    const figure = document.getElementById("fig-explorer");
    if (figure) build(figure);
  });
  return { measure };
})();
