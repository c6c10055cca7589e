/** How an app's process is started: the same for `warren run` and for apps that live with the node. */
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Home } from '../home.ts'

/** `.ts` in a checkout, `.js` in the published package. */
const extension = extname(fileURLToPath(import.meta.url))

/** Arguments for the running Node that serve the app in `file`. */
export function childArguments(file: URL): string[] {
  return [
    // An app's folder need not have a package.json to say that its file is a module.
    '--disable-warning=MODULE_TYPELESS_PACKAGE_JSON',
    '--import', new URL(`resolve${extension}`, import.meta.url).href,
    fileURLToPath(new URL(`child${extension}`, import.meta.url)),
    file.href,
  ]
}

/** The environment of an app's process: this one's, and which home's node it attaches to. */
export function childEnvironment(home: Home): NodeJS.ProcessEnv {
  return { ...process.env, WARREN_HOME: home.folder }
}
