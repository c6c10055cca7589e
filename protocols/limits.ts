/** Every maximum that more than one file needs, with its reason; layouts' own sizes stand in their messages. */

/** Longest frame body: small enough that a 32-byte call beside a bulk stream waits for one chunk only. */
export const FRAME_BODY_BYTES_MAX = 32 * 1024
/** Most bytes handed to a carrier at once: below one Noise message (65 519) and one socket write. */
export const FLUSH_BYTES_MAX = 60_000
/** Longest call meta: names, target, trace and chain; arguments do not count. */
export const META_BYTES_MAX = 8 * 1024
/** Credit that each direction of a call starts with; always honoured, whatever the link holds. */
export const WINDOW_BYTES_INITIAL = 64 * 1024
/** Credit that a direction grows to: 4 MiB in flight fills 80 MB/s at 50 ms. */
export const WINDOW_BYTES_MAX = 4 * 1024 * 1024
/** Received and not yet consumed bytes on a link above which windows stop growing and calls are refused. */
export const LINK_BUFFER_BYTES_MAX = 16 * 1024 * 1024
/** Share of the link's buffer that items in pieces may hold; beyond it only the oldest goes on. */
export const ASSEMBLY_BYTES_MAX = LINK_BUFFER_BYTES_MAX / 2
/** Largest single item (arguments, reply or stream item); larger data belongs into a stream. */
export const ITEM_BYTES_MAX = 16 * 1024 * 1024
/** Calls open on one link in one direction: a client with more has lost count of them. */
export const LINK_CALLS_MAX = 16_384
/** Depth of arrays, maps and tags in a payload; deeper ones overflow decoders (20 000 did). */
export const NESTING_DEPTH_MAX = 100
/** Call ids end here; the link is replaced before (31 bits keep them small integers in V8). */
export const CALL_ID_MAX = 0x7fff_fffe
/** Time for a call that names none. */
export const CALL_TIMEOUT_MS = 30_000
/** Silence between two items of a stream after which it is given up, unless the call says otherwise. */
export const STREAM_IDLE_MS = 30_000
/** Longest deadline that may be asked for: a day; longer ones are subscriptions. */
export const CALL_TIMEOUT_MS_MAX = 86_400_000
/** A peer's first frame must come within this time. */
export const HELLO_TIMEOUT_MS = 5_000
/** A frame that has begun must be whole within this time. */
export const FRAME_TIMEOUT_MS = 10_000
/** Silence on a link with open calls after which a peer is asked whether it lives. */
export const PING_AFTER_MS = 5_000
/** Silence after which a peer that was asked is taken for dead. */
export const DEAD_AFTER_MS = 10_000
/** Grace that calls in flight get when a link is replaced or a process leaves. */
export const GRACE_MS = 5_000
/** Grace that a peer may ask for. */
export const GRACE_MS_MAX = 300_000
/** Names of apps, methods, devices, nodes and roots. */
export const NAME_CHARACTERS_MAX = 63
/** Methods of one app: more is a generated interface gone wrong. */
export const METHODS_MAX = 512
/** Apps that one process may serve, and processes' registrations that one node keeps. */
export const APPS_PER_NODE_MAX = 1_024
/** Hosts of one app that a lookup returns. */
export const HOSTS_PER_APP_MAX = 256
