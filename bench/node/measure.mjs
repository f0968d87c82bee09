// One sample in a process of its own: `node measure.mjs SPEC`, the specification as JSON. Prints what was measured.

const spec = JSON.parse(process.argv[2] ?? '{}')
const { measure } = await import(`./works/${spec.work}.mjs`)
console.log(JSON.stringify(await measure(spec)))
process.exit(0)
