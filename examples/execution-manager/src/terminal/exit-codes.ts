// How `play` ends, as other programs are told.

export const exitCodes = { completed: 0, failed: 1, badInput: 2, timeout: 124 } as const

/** What was typed cannot be done. */
export class InputError extends Error {}
