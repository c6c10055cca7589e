/** What an app process tells its node when it begins to serve an app. */
import { z } from 'zod'
import type { App } from '../../protocols/app.ts'
import { METHODS_MAX } from '../../protocols/limits.ts'
import { isName } from '../../protocols/names.ts'

const methodInfo = z.object({
  name: z.string().refine((name) => isName('method', name), 'is not a method name'),
  kind: z.enum(['unary', 'stream']),
  local: z.boolean(),
  idempotent: z.boolean(),
  description: z.string().max(500).optional(),
})

/** The input of `node.register`. */
export const registrationSchema = z.object({
  app: z.string().refine((name) => isName('app', name), 'is not an app name'),
  methods: z.array(methodInfo).max(METHODS_MAX),
  pid: z.number().int().positive(),
  device: z.object({
    name: z.string().refine((name) => isName('device', name), 'is not a device name'),
    kind: z.string().max(63),
  }).optional(),
})

/** A method as others see it. */
export type MethodInfo = z.infer<typeof methodInfo>
/** An app as its process announces it. */
export type Registration = z.infer<typeof registrationSchema>

/** An app's methods as others see them. */
export function describeMethods(methods: App['methods']): MethodInfo[] {
  return Object.entries(methods).map(([name, { kind, spec }]) => ({
    name, kind, local: spec.local === true, idempotent: spec.idempotent === true,
    ...(spec.description === undefined ? {} : { description: spec.description }),
  }))
}

/** The announcement of `app` by process `pid`. */
export function describeApp(app: App, pid: number): Registration {
  const device = app.device === undefined ? {} : { device: app.device }
  return { app: app.name, methods: describeMethods(app.methods), pid, ...device }
}
