/* What scrolls sideways can be reached with the keyboard; what does not is no stop on the way. */
const SCROLLERS = ".bd-article :is(div.math, pre, .pst-scrollable-table-container, .text_html)";

const watcher = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    const scrolls = target.scrollWidth > target.clientWidth;
    if (scrolls) {
      target.tabIndex = 0;
    } else {
      target.removeAttribute("tabindex");
    }
  }
});

document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll(SCROLLERS).forEach((element) => watcher.observe(element));
});
