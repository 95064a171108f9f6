// How the tests look at the page. Each function of `look` is a question about what stands on the screen.
globalThis.look = (() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const short = (one) => one.textContent.trim().slice(0, 40);
  const ENGLISH = /\b[a-z]{2,} [a-z]{2,} [a-z]{2,}\b/;
  const UNCOUNTED = ".scroll, .table, .hidden-text, .skip-link, math, pre, script";

  const circuit = (figure) => document.querySelector(`#${figure} svg.circuit`);
  const written = (wire, kind) => wire.querySelector(kind)?.textContent.replace(/[◂▸∂\s]/g, "") ?? null;

  /** Wire → [value, gradient] of a figure's first circuit, as written there; null where nothing is. */
  function wires(figure) {
    const found = all("[data-wire]", circuit(figure));
    return Object.fromEntries(found.map((wire) => [wire.dataset.wire, [".value", ".gradient"].map((kind) => written(wire, kind))]));
  }

  /** Every text in every field, by the events that typing and Enter make. */
  async function type(texts) {
    const fields = all("section.figure input[type=text]");
    const set = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set;
    for (const field of fields) {
      for (const text of texts) {
        set.call(field, text);
        field.dispatchEvent(new InputEvent("input", { bubbles: true }));
        field.dispatchEvent(new Event("change", { bubbles: true }));
        await new Promise((done) => setTimeout(done));
      }
    }
    return fields.length;
  }

  /** [changes of the document, running animations] during so many frames. */
  async function moves(frames, root = document.body) {
    let changes = 0;
    let running = 0;
    const observer = new MutationObserver((records) => { changes += records.length; });
    observer.observe(root, { subtree: true, childList: true, attributes: true, characterData: true });
    for (let frame = 0; frame < frames; frame++) {
      await new Promise(requestAnimationFrame);
      running = Math.max(running, root.getAnimations({ subtree: true }).length);
    }
    observer.disconnect();
    return [changes, running];
  }

  /** Sentences of English: three words of small letters in a row, in texts and labels. */
  function english() {
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const found = [];
    while (walker.nextNode()) {
      const { data, parentElement } = walker.currentNode;
      if (!parentElement.closest("script, style, code, pre, [lang=en]") && ENGLISH.test(data)) found.push(data);
    }
    const labels = all("[aria-label], [title]").flatMap((one) => [one.ariaLabel, one.title]);
    return [...found, ...labels.filter((label) => label && ENGLISH.test(label))];
  }

  /** What Tab should come to: one stop for each group of radio buttons. */
  const stops = () =>
    all('a[href], button, input, select, summary, [tabindex="0"]').filter(
      (one) => !one.disabled && one.checkVisibility() && !(one.type === "radio" && !one.checked),
    ).length;

  /** [place in the document, whether it is outlined, what it is] of what has the focus; null: nothing. */
  function focus() {
    const one = document.activeElement;
    if (one === document.body) return null;
    const styles = [one, one.nextElementSibling].filter(Boolean).map((each) => getComputedStyle(each));
    const marked = styles.some((style) => style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2);
    return [all("*").indexOf(one), marked, `${one.tagName} ${one.className} ${short(one)}`];
  }

  function small(pixels) {
    return all("button, input, select, summary, nav a").filter((one) => one.checkVisibility()).flatMap((one) => {
      const target = one.closest("label") ?? one;
      const { width, height } = target.getBoundingClientRect();
      return Math.min(width, height) < pixels ? [`${one.tagName} ${one.className} ${short(target)} ${width} x ${height}`] : [];
    });
  }

  function nameless() {
    const fields = all("input, select").filter((one) => !one.labels.length && !one.ariaLabel);
    const drawings = all("svg").filter((one) => !one.closest("[aria-hidden=true]") && !(one.role === "img" && one.ariaLabel));
    return [...fields, ...drawings].map((one) => one.outerHTML.slice(0, 80));
  }

  /** Texts beyond the window, cut by their own box, or cut by the drawing they stand in. */
  function outside() {
    const width = document.documentElement.clientWidth;
    const texts = all("body *").filter((one) => one.checkVisibility() && !one.closest(UNCOUNTED) &&
      [...one.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim()));
    return texts.flatMap((one) => {
      const box = one.getBoundingClientRect();
      const found = box.right > width + 1 || box.left < -1 ? [`outside: ${short(one)}`] : [];
      const frame = one instanceof SVGElement && one.closest("svg").getBoundingClientRect();
      if (frame && (box.left < frame.left - 2 || box.right > frame.right + 2 || box.top < frame.top - 2 || box.bottom > frame.bottom + 2))
        found.push(`cut by its drawing: ${short(one)}`);
      const clips = !frame && getComputedStyle(one).overflowX !== "visible" && one.clientWidth > 1;
      if (clips && one.scrollWidth > one.clientWidth + 1) found.push(`clipped: ${short(one)}`);
      return found;
    });
  }

  /** Pairs of texts of one drawing that cover each other. The marks of lines (● ■ …) may. */
  function overlaps() {
    return all("svg[role=img]").flatMap((drawing) => {
      const texts = all("text", drawing).filter((one) => one.textContent.trim() && !one.matches(".mark") && one.checkVisibility());
      const boxes = texts.map((one) => one.getBoundingClientRect());
      return boxes.flatMap((a, i) => boxes.slice(i + 1).flatMap((b, j) => {
        const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        const cover = across > 2 && down > 0.4 * Math.min(a.height, b.height);
        return cover ? [`${short(texts[i])} | ${short(texts[i + 1 + j])} in ${drawing.ariaLabel.slice(0, 40)}`] : [];
      }));
    });
  }

  /** All details open; of a long table three rows stay, which are built like the others. */
  function unfold(rows = Infinity) {
    all("details").forEach((one) => { one.open = true; });
    all("tbody").forEach((body) => all(":scope > tr", body).slice(rows).forEach((row) => row.remove()));
  }

  const answers = () => all(".sheet .answers .answer").map((one) => one.textContent);

  return { wires, sum: (figure) => circuit(figure).querySelector(".sum").textContent, type, moves, english, stops, focus, small,
    nameless, outside, overlaps, unfold, answers };
})();
