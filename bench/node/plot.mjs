// A line chart as SVG: so little that a library would be the larger part.

const top = 62
const bottom = 312
const left = 56
const right = 304

/**
 * A scale says where a value is, 0 at the bottom and 1 at the top, and which values are worth a line.
 *
 * @typedef {{ at: (value: number) => number, ticks: number[] }} Scale
 */

/** @param {number} most @returns {Scale} */
export function linear(most) {
  const rough = most / 5
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((step) => step >= rough) ?? rough
  const ticks = Array.from({ length: Math.ceil(most / step) + 1 }, (_, i) => i * step)
  const end = ticks.at(-1) ?? most
  return { at: (value) => value / end, ticks }
}

/** From one power of ten to another. @param {number} least @param {number} most @returns {Scale} */
export function logarithmic(least, most) {
  const [from, to] = [Math.log10(least), Math.log10(most)]
  const ticks = Array.from({ length: Math.round(to - from) + 1 }, (_, i) => least * 10 ** i)
  return { at: (value) => Math.max(0, (Math.log10(Math.max(value, least)) - from) / (to - from)), ticks }
}

/**
 * @typedef {{ median: number, least: number, most: number }} Point
 * @typedef {{ name: string, className: string, points: (Point | undefined)[] }} Series
 * @typedef {object} Panel
 * @property {number} x where it begins
 * @property {string} title
 * @property {string[]} sizes the labels of the horizontal axis
 * @property {Series[]} series
 * @property {Scale} scale
 * @property {(value: number) => string} show
 */

/** @param {Panel} panel */
export function lines({ x, title, sizes, series, scale, show }) {
  const across = (/** @type {number} */ i) =>
    round(left + 14 + (i * (right - left - 28)) / Math.max(1, sizes.length - 1))
  const up = (/** @type {number} */ value) => round(bottom - scale.at(value) * (bottom - top))
  const grid = scale.ticks.map(
    (tick, i) =>
      `<path class="${i === 0 ? 'axis' : 'grid'}" d="M${left} ${up(tick)}H${right}"/>` +
      `<text x="${left - 8}" y="${up(tick) + 4.5}" text-anchor="end">${show(tick)}</text>`,
  )
  const labels = sizes.map((size, i) => `<text x="${across(i)}" y="${bottom + 20}" text-anchor="middle">${size}</text>`)
  return [
    `<g transform="translate(${x} 0)">`,
    `<text class="title" x="20" y="34">${title}</text>`,
    ...grid,
    ...labels,
    `<text x="${(left + right) / 2}" y="${bottom + 43}" text-anchor="middle">buffers in the host, GiB</text>`,
    ...series.map((one) => line(one, across, up)),
    ...names(series, up, show),
    '</g>',
  ].join('\n')
}

/** @param {Series} series @param {(i: number) => number} across @param {(value: number) => number} up */
function line({ className, points }, across, up) {
  const known = points.flatMap((point, i) => (point ? { ...point, x: across(i) } : []))
  const path = known.map(({ x, median }) => `${x} ${up(median)}`).join('L')
  const marks = known.map(
    ({ x, median, least, most }) =>
      `<path class="spread" d="M${x} ${up(least)}V${up(most)}"/><circle class="dot" cx="${x}" cy="${up(median)}" r="3.5"/>`,
  )
  return `<g class="${className}"><path class="line" d="M${path}"/>${marks.join('')}</g>`
}

/**
 * The names, each beside the end of its line, pushed apart where they would overlap.
 *
 * @param {Series[]} series
 * @param {(value: number) => number} up
 * @param {(value: number) => string} show
 */
function names(series, up, show) {
  const ends = series.flatMap(({ name, className, points }) => {
    const last = points.findLast(Boolean)
    return last ? { className, text: `${name} ${show(last.median)}`, y: up(last.median) + 4.5 } : []
  })
  ends.sort((a, b) => a.y - b.y)
  const distance = 17
  const lowest = bottom + 4.5
  ends.forEach((end, i) => (end.y = Math.max(end.y, (ends[i - 1]?.y ?? -Infinity) + distance)))
  ends.forEach((end, i) => (end.y = Math.min(end.y, lowest - (ends.length - 1 - i) * distance)))
  return ends.map(
    ({ className, text, y }) =>
      `<g class="${className}"><text class="label" x="${right - 4}" y="${round(y)}">${text}</text></g>`,
  )
}

const round = (/** @type {number} */ value) => Math.round(value * 10) / 10
