// Prints 10 000 numbered lines a second, some in colours, for so many seconds.

const total = Number(process.argv[2]) * 10_000
const began = performance.now()
let printed = 0

const timer = setInterval(() => {
  const due = Math.min(total, Math.floor((performance.now() - began) * 10))
  let text = ''
  for (; printed < due; printed += 1) {
    const level = printed % 10 === 0 ? '\u001b[33mwarn\u001b[0m' : '\u001b[32minfo\u001b[0m'
    text += `${level} line ${String(printed + 1)} of the request that came from 10.0.${String(printed % 256)}.17 took ${String(printed % 97)} ms\n`
  }
  process.stdout.write(text)
  if (printed === total) clearInterval(timer)
}, 10)
