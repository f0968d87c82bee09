// One execution as the page knows it, and how it is shown.

/** How many lines are kept: all of them are in the log. */
const LINES = 2000

export class Run {
  status = 'pending'
  command = ''
  error = ''
  /** Where to go on in the log. Only entries of the log say it. */
  offset = 0
  lines = []
  /** The line that each stream has begun. */
  begun = { stdout: '', stderr: '' }
  /** What of it is told again from its beginning. */
  unfinished = { stdout: '', stderr: '' }

  constructor(id) {
    this.id = id
  }

  begin(status, command) {
    this.status = status
    this.command = command
  }

  take(event) {
    switch (event.event_type) {
      case 'started':
        this.begin('running', event.command)
        break
      case 'stdout':
      case 'stderr':
        this.takeText(event.event_type, event.line, event)
        break
      case 'pending':
      case 'retrying':
        break
      default:
        this.begin(event.event_type, event.result.command)
        this.error = event.result.error ?? ''
        // Of a piece that nothing followed there is no more to come.
        for (const stream of ['stdout', 'stderr']) if (this.begun[stream] !== '') this.takeText(stream, '', {})
    }
  }

  takeEntry({ stream, line, offset, complete }) {
    this.takeText(stream, line, { partial: !complete })
    this.offset = offset
  }

  takeText(stream, text, { partial = false, unfinished = false }) {
    this.unfinished[stream] = unfinished ? text : ''
    if (unfinished) return
    if (partial) {
      this.begun[stream] += text
      return
    }
    this.lines.push({ stream, text: this.begun[stream] + text })
    this.begun[stream] = ''
    if (this.lines.length > 2 * LINES) this.lines.splice(0, this.lines.length - LINES)
  }
}

const byId = (id) => document.getElementById(id)

function element(tag, className, text) {
  const made = document.createElement(tag)
  made.className = className
  // Never as HTML: it is what a command printed.
  made.textContent = text
  return made
}

function showRuns({ runs, selected, select }) {
  const items = runs.toReversed().map((run) => {
    const button = element('button', '', `${run.status} ${run.command}`)
    button.setAttribute('aria-current', String(run === selected))
    button.addEventListener('click', () => select(run))
    const item = document.createElement('li')
    item.append(button)
    return item
  })
  byId('runs').replaceChildren(...items)
}

function showOutput({ lines, begun, unfinished }) {
  const output = byId('output')
  const follows = output.scrollHeight - output.scrollTop - output.clientHeight < 40
  const shown = lines.slice(-LINES).map(({ stream, text }) => element('span', stream, `${text}\n`))
  for (const stream of ['stdout', 'stderr']) {
    const open = begun[stream] + unfinished[stream]
    if (open !== '') shown.push(element('span', `${stream} unfinished`, `${open}\n`))
  }
  output.replaceChildren(...shown)
  if (follows) output.scrollTop = output.scrollHeight
}

export function show({ runs, selected, select }) {
  showRuns({ runs, selected, select })
  if (selected === undefined) return
  byId('about').textContent = [selected.status, selected.command, selected.error].filter(Boolean).join(': ')
  byId('cancel').hidden = !['pending', 'running'].includes(selected.status)
  showOutput(selected)
}
