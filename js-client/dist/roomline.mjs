/*! roomline 0.1.0, MIT */
/** How long to wait before trying again: exponential, with full jitter. */
/** How often in a row somebody may be sent elsewhere before it counts as going in circles. */
const FREE_MOVES = 3;
/**
 * The n-th wait is anywhere between 0 and min(cap, base * 2^n), so that clients that failed
 * together do not come back together.
 */
class Backoff {
    constructor(random, range) {
        this.random = random;
        this.range = range;
        this.attempts = 0;
    }
    /** Milliseconds to wait after one more failure. */
    next() {
        const ceiling = Math.min(this.range.cap, this.range.base * Math.pow(2, this.attempts));
        this.attempts += 1;
        return Math.floor(this.random() * ceiling);
    }
    /** Milliseconds to wait when it was no failure but a request to move: none, unless such
     * requests keep coming. */
    move() {
        if (this.attempts >= FREE_MOVES)
            return this.next();
        this.attempts += 1;
        return 0;
    }
    reset() {
        this.attempts = 0;
    }
}

/** The gateway's codes, one table each. Generated from tests/golden/codes.json: do not edit. */
/** Codes of `error` replies. */
const ERRORS = {
    bad_request: { temporary: false, meaning: "the message is not a well-formed command" },
    unknown_command: { temporary: false, meaning: "no command has this type" },
    unsupported: { temporary: false, meaning: "the command exists but this gateway does not offer it" },
    bad_version: { temporary: false, meaning: "the protocol version is not spoken here" },
    not_connected: { temporary: false, meaning: "the first command must be connect" },
    already_connected: { temporary: false, meaning: "this session has connected before" },
    token_required: { temporary: false, meaning: "anonymous clients are not accepted" },
    token_invalid: { temporary: false, meaning: "the token is forged, malformed or not for us" },
    token_expired: { temporary: false, meaning: "the token is past its expiry: get a new one" },
    token_revoked: { temporary: false, meaning: "the token was revoked: get a new one" },
    room_invalid: { temporary: false, meaning: "not a well-formed room name" },
    room_unknown: { temporary: false, meaning: "the room's namespace is not configured" },
    room_token_required: { temporary: false, meaning: "the room wants a token of its own" },
    forbidden: { temporary: false, meaning: "the rules do not let this client do that" },
    not_subscribed: { temporary: false, meaning: "the session is not subscribed to the room" },
    too_large: { temporary: false, meaning: "a value exceeds its size limit" },
    limit_reached: { temporary: false, meaning: "the session holds as many as it may" },
    rate_limited: { temporary: true, meaning: "too many commands: slow down" },
    catching_up: { temporary: true, meaning: "this node has not read the log that far yet" },
    unavailable: { temporary: true, meaning: "the broker cannot be reached: try again, publish with the same key" },
    rejected: { temporary: false, meaning: "the broker, or who moderates the room, refuses this publication" },
    request_unknown: { temporary: false, meaning: "no handler has this name" },
    request_failed: { temporary: false, meaning: "the handler refuses, or has failed" },
    request_timeout: { temporary: true, meaning: "no answer came: the request may or may not have been carried out" },
};
/** Close codes. */
const DISCONNECTS = {
    3001: { reason: "draining", reconnect: true, meaning: "the node is leaving: connect to another" },
    3002: { reason: "slow", reconnect: true, meaning: "the client did not read: its outbox was full" },
    3003: { reason: "connect timeout", reconnect: true, meaning: "no connect command was accepted in time" },
    3004: { reason: "token expired", reconnect: true, meaning: "the connection token expired: come with a new one" },
    3005: { reason: "revoked", reconnect: true, meaning: "the user's tokens were revoked: come with a new one" },
    3500: { reason: "bad protocol", reconnect: false, meaning: "too many malformed messages" },
    3501: { reason: "message too long", reconnect: false, meaning: "a message exceeded the size limit" },
    3502: { reason: "flood", reconnect: false, meaning: "commands kept coming far above the rate limit" },
    3503: { reason: "removed", reconnect: false, meaning: "an operator has ended this session" },
};
/** Codes of `unsubscribed` pushes. */
const UNSUBSCRIBED = {
    token_expired: "the room token expired: subscribe with a new one",
    log_reset: "the log was replaced: subscribe anew, without a position",
    rights_changed: "the room's rights have changed: subscribe with a new token",
    room_closed: "the room was closed",
    forbidden: "the refreshed token does not grant this room any more",
};
/** Reasons of `recovered: false`. */
const UNRECOVERABLE = {
    malformed: "the position is not one that a gateway gave",
    trimmed: "the position is older than what this node can prove continuous",
    not_in_log: "the log has no such entry: it was replaced or lost its tail",
    evicted: "publications after the position are no longer in memory",
};

/** The one error that the client reports and rejects with. */
/** Whether the gateway refuses a token that was good once: another one may be good now. */
function isOutdated(error) {
    return error.code === "token_expired" || error.code === "token_revoked";
}
/** A real `Error`, so that it has a stack; not a subclass, which ES5 cannot make properly. */
function failure(code, message, temporary, room = null) {
    const error = new Error(message);
    error.name = "RoomlineError";
    error.code = code;
    error.temporary = temporary;
    error.room = room;
    error.key = null;
    error.refusal = null;
    return error;
}

/** The protocol's messages as types, and what is read of an incoming text. */
const PROTOCOL_VERSION = 1;
/** The text of a command. */
function encode(id, command) {
    return '{"id":' + id + "," + JSON.stringify(command).slice(1);
}
/** The message in a text, or null: it is none, and the peer no gateway of ours. */
function parse(text) {
    let message;
    try {
        message = JSON.parse(text);
    }
    catch (_a) {
        return null;
    }
    const usable = typeof message === "object" &&
        message !== null &&
        typeof message.type === "string";
    return usable ? message : null;
}

/** One restartable, stoppable timer. */
/** Runs `action` once, `milliseconds` after the last `start`, unless stopped before. */
class Timer {
    constructor(environment, action) {
        this.environment = environment;
        this.action = action;
        this.handle = null;
        this.pending = false;
    }
    start(milliseconds) {
        this.stop();
        this.pending = true;
        this.handle = this.environment.setTimeout(() => {
            this.pending = false;
            this.action();
        }, milliseconds);
    }
    stop() {
        if (this.pending) {
            this.pending = false;
            this.environment.clearTimeout(this.handle);
        }
    }
}

/** Promises: the engine's own, or a minimal one where there is none. Globals stay untouched. */
function isThenable(value) {
    return isObject(value) && typeof value.then === "function";
}
function isObject(value) {
    return value !== null && (typeof value === "object" || typeof value === "function");
}
/**
 * `then` and `catch` as Promises/A+ (https://promisesaplus.com) has them, except that handlers
 * run as timers and not as microtasks, which engines without promises do not have either.
 */
class MinimalPromise {
    constructor(executor) {
        this.outcome = "pending";
        this.waiting = [];
        this.adopt(executor);
    }
    then(onFulfilled, onRejected) {
        return new MinimalPromise((resolve, reject) => {
            const react = () => {
                const fulfilled = this.outcome === "fulfilled";
                const handler = (fulfilled ? onFulfilled : onRejected);
                if (typeof handler !== "function") {
                    if (fulfilled)
                        resolve(this.value);
                    else
                        reject(this.value);
                    return;
                }
                let result;
                try {
                    result = handler(this.value);
                }
                catch (error) {
                    reject(error);
                    return;
                }
                resolve(result);
            };
            if (this.outcome === "pending")
                this.waiting.push(react);
            else
                setTimeout(react, 0);
        });
    }
    catch(onRejected) {
        return this.then(null, onRejected);
    }
    /** Run code that resolves or rejects this promise; only its first word counts. */
    adopt(executor) {
        let decided = false;
        const reject = (reason) => {
            if (decided)
                return;
            decided = true;
            this.settle("rejected", reason);
        };
        try {
            executor((value) => {
                if (decided)
                    return;
                decided = true;
                this.resolve(value);
            }, reject);
        }
        catch (error) {
            reject(error);
        }
    }
    resolve(value) {
        if (value === this) {
            this.settle("rejected", new TypeError("a promise cannot be resolved with itself"));
            return;
        }
        // `then` is looked up once: a getter may throw, or answer differently the next time.
        let then;
        try {
            then = isObject(value) ? value.then : undefined;
        }
        catch (error) {
            this.settle("rejected", error);
            return;
        }
        if (typeof then !== "function") {
            this.settle("fulfilled", value);
            return;
        }
        const follow = then;
        setTimeout(() => this.adopt((resolve, reject) => follow.call(value, resolve, reject)), 0);
    }
    settle(outcome, value) {
        this.outcome = outcome;
        this.value = value;
        const waiting = this.waiting;
        this.waiting = [];
        for (const react of waiting)
            setTimeout(react, 0);
    }
}
/** The constructor to use here. */
function promiseMaker() {
    return typeof Promise === "function" ? Promise : MinimalPromise;
}

/** Asking the application for a token: at once or promised, but never for ever. */



/**
 * Call `callback` and pass its token to `done`, or to `fail` why there is none: for now, or, if the
 * application's error has `temporary: false`, for good. Gives a function that ends the wait; then
 * neither is called.
 */
function askForToken(environment, timeout, callback, done, fail) {
    let over = false;
    const finish = (action) => {
        if (over)
            return;
        over = true;
        timer.stop();
        action();
    };
    const refuse = (why, temporary = true) => finish(() => fail(failure("token_failed", `the token callback ${why}`, temporary)));
    const threw = (error) => {
        const { message, temporary } = (error || {});
        refuse(`failed: ${message || error}`, temporary !== false);
    };
    const accept = (token) => {
        if (token === null || (typeof token === "string" && token))
            finish(() => done(token));
        else
            refuse(`gave ${token === "" ? "an empty text" : typeof token}, accepted is a token or null`);
    };
    const timer = new Timer(environment, () => refuse(`gave no token within ${timeout} ms`));
    timer.start(timeout);
    let answer;
    try {
        answer = callback();
    }
    catch (error) {
        threw(error);
        return () => undefined;
    }
    if (isThenable(answer))
        answer.then(accept, threw);
    else
        accept(answer);
    return () => finish(() => undefined);
}

/** Renewing the connection token of a session before it expires. */




/** The share of a token's lifetime after which it is renewed: between the two, so that clients
 * that connected together do not ask for tokens together. */
const EARLIEST = 0.7;
const LATEST = 0.9;
/** Milliseconds. However short-lived tokens are, asking for them is no busy loop. */
const SHORTEST = 1000;
/** Milliseconds. Browsers fire longer timers at once. */
const LONGEST = 0x7fffffff;
class Refresher {
    constructor(settings, failed, 
    /** The application gives no token any more. */
    refused) {
        this.settings = settings;
        this.failed = failed;
        this.refused = refused;
        this.calls = null;
        this.stopAsking = () => undefined;
        /** Whether a token was asked for and the gateway has not taken it yet. */
        this.asking = false;
        /** Whether that token may be from before the last `renew`. */
        this.outdated = false;
        this.waiting = [];
        this.timer = new Timer(settings.environment, () => this.ask());
        this.backoff = new Backoff(settings.environment.random, settings.backoff);
    }
    /** `expiresIn`: seconds; null: never. */
    start(calls, expiresIn) {
        this.calls = calls;
        this.asking = false;
        if (expiresIn === null || !this.settings.token)
            return;
        const share = EARLIEST + (LATEST - EARLIEST) * this.settings.environment.random();
        const wait = Math.floor(1000 * expiresIn * share);
        this.timer.start(Math.min(LONGEST, Math.max(SHORTEST, wait)));
    }
    /** Ask for a new token now; `done` is called when the gateway has taken one that was asked for
     * since. Never, if the session ends before. */
    renew(done) {
        this.waiting.push(done);
        this.outdated = this.asking;
        if (!this.asking)
            this.ask();
    }
    stop() {
        this.calls = null;
        this.asking = this.outdated = false;
        this.waiting = [];
        this.timer.stop();
        this.stopAsking();
    }
    ask() {
        this.timer.stop();
        this.asking = true;
        const { environment, timeouts, token } = this.settings;
        this.stopAsking = askForToken(environment, timeouts.reply, token, (given) => {
            if (given !== null)
                this.refresh(given);
            else
                this.retry(failure("token_failed", "there is no token to refresh the session with", true));
        }, (error) => {
            if (error.temporary)
                this.retry(error);
            else
                this.refused(error);
        });
    }
    refresh(token) {
        const calls = this.calls;
        calls.send({ type: "refresh", token }, (reply) => {
            this.backoff.reset();
            this.start(calls, reply.expires_in);
            this.renewed();
        }, (error) => {
            if (calls.open)
                this.retry(error);
        });
    }
    renewed() {
        if (this.outdated) {
            this.outdated = false;
            this.ask();
            return;
        }
        const waiting = this.waiting;
        this.waiting = [];
        for (const done of waiting)
            done();
    }
    /** Until it succeeds or the gateway ends the session because the token has expired. */
    retry(error) {
        this.asking = this.outdated = false;
        this.timer.start(this.backoff.next());
        this.failed(error);
    }
}

/**
 * Which transports to use at one endpoint: what failed, what that proves, what is left out. Values
 * and functions of values; `routes.ts` holds them.
 *
 * Transports form three families, the best first. What happens to one transport of a family behind
 * a proxy happens to all of it, so families are left out, never single transports.
 *
 *     from: 0 --struck--> from: 1 --struck--> from: 2 --struck--> from: 0
 *                 `--------- what is used then delivers: proved, to be remembered
 *
 * A failure proves nothing against a transport by itself: the gateway may be ill. What proves it is
 * another transport that delivers soon after. If all fail, or the endpoint cannot be reached at
 * all, nothing is proved, and all are used again.
 */
const FAMILIES = [
    ["websocket"],
    [
        "xhr-streaming",
        "xdr-streaming",
        "eventsource",
        "iframe-eventsource",
        "htmlfile",
        "iframe-htmlfile",
    ],
    ["xhr-polling", "xdr-polling", "iframe-xhr-polling", "jsonp-polling"],
];
/** Everything may be used. */
const OPEN_ROUTE = { from: 0, remembered: false, suspicions: [], strikes: 0 };
/** Failures that a bad line or a killed gateway explain as well count when so many sessions in a
 * row have failed like that. */
const STRIKES = { silent: 2, cut: 3 };
/** How soon (milliseconds) after a failure another transport must deliver to prove it. */
const SOON = 60000;
/** What only browsers of before cross-origin requests need. In others they fail where their better
 * siblings did, each after its time-out. */
const RELICS = ["iframe-eventsource", "htmlfile", "iframe-htmlfile"];
/** What to try in a browser, unless the page says. */
function usualTransports(hasCrossOriginRequests) {
    const names = transportsFrom(0, null);
    return hasCrossOriginRequests ? names.filter((name) => RELICS.indexOf(name) < 0) : names;
}
/** The families of which `wanted` names a transport. */
function familiesOf(wanted) {
    const families = FAMILIES.map((_, family) => family);
    return families.filter((family) => FAMILIES[family].some((name) => wanted.indexOf(name) >= 0));
}
/** The family of a transport; -1: it is none of those that are known. */
function familyOf(transport) {
    for (let family = 0; family < FAMILIES.length; family++) {
        if (FAMILIES[family].indexOf(transport) >= 0)
            return family;
    }
    return -1;
}
/** The transports from this family on that are wanted; null: all. */
function transportsFrom(from, wanted) {
    const names = FAMILIES.slice(from).reduce((all, family) => all.concat(family), []);
    return wanted ? names.filter((name) => wanted.indexOf(name) >= 0) : names;
}
/** The family to fall back to from a transport; -1: there is none. */
function familyAfter(transport, families) {
    const family = familyOf(transport);
    const worse = family < 0 ? [] : families.filter((other) => other > family);
    return worse.length ? worse[0] : -1;
}
/** A session failed after it had opened, in a way that may be its transport's fault. */
function struck(route, trial, families, now) {
    const strikes = route.strikes + 1;
    const { from, remembered, suspicions } = route;
    if (strikes < (STRIKES[trial.reason] || 1))
        return { from, remembered, suspicions, strikes };
    const next = familyAfter(trial.transport, families);
    // All have failed; or what is remembered is of another network than this, and all may deliver.
    if (next < 0 || remembered)
        return OPEN_ROUTE;
    return {
        from: next,
        remembered,
        suspicions: recent(suspicions, now).concat([{ trial, at: now }]),
        strikes: 0,
    };
}
/** Whether there is anything to find out yet: else the route is what the browser remembers. */
function isOpenQuestion({ suspicions, strikes }, now) {
    return strikes > 0 || recent(suspicions, now).length > 0;
}
/** A session ended in a way that shows its transport to deliver. */
function acquitted({ from, remembered, suspicions }) {
    return { from, remembered, suspicions, strikes: 0 };
}
/** What is not in use, while `transport` delivers: suspicions, what SockJS has just tried in
 * vain, and what the browser remembers. */
function leftOut(route, tried, families, wanted) {
    const skipped = route.remembered ? families.filter((family) => family < route.from) : [];
    const remembered = skipped.map((family) => {
        const names = FAMILIES[family].filter((name) => wanted.indexOf(name) >= 0);
        return { transport: names[0], reason: "remembered", ms: 0 };
    });
    return remembered.concat(route.suspicions.map(({ trial }) => trial), tried);
}
/**
 * Whether something newly failed that is proved by `transport`, which delivers. `tried`: what
 * SockJS has just tried in vain. `stable`: it has delivered for so long that it would have shown
 * faults that take their time.
 */
function proves(route, transport, tried, stable, now) {
    const family = familyOf(transport);
    const suspects = recent(route.suspicions, now).filter(({ trial }) => stable || isQuick(trial));
    const better = ({ transport: other }) => familyOf(other) < family;
    return tried.some(better) || suspects.some(({ trial }) => better(trial));
}
/** The faults that a transport of the next family would have shown already. */
function isQuick({ reason }) {
    return reason === "unanswered";
}
function recent(suspicions, now) {
    return suspicions.filter(({ at }) => Math.abs(now - at) <= SOON);
}

/** A dictionary whose keys may be any text, `__proto__` included, in engines without Map. */
class Table {
    constructor() {
        this.entries = {};
    }
    get(key) {
        const name = "$" + key;
        return Object.prototype.hasOwnProperty.call(this.entries, name)
            ? this.entries[name]
            : undefined;
    }
    set(key, value) {
        this.entries["$" + key] = value;
    }
    remove(key) {
        delete this.entries["$" + key];
    }
    clear() {
        this.entries = {};
    }
    /** The values at this moment, in the order in which their keys came. */
    values() {
        return Object.keys(this.entries).map((name) => this.entries[name]);
    }
}

/** The way to each endpoint, and what the browser remembers of it from page to page. */


const PREFIX = "roomline.transport:";
/** The first time a failure is remembered for this part of the longest time; each time that it is
 * met again, for twice as long. */
const FIRST_SHARE = 8;
class Routes {
    constructor(settings) {
        this.settings = settings;
        this.routes = new Table();
        const { environment, sockjs } = settings;
        const { transports } = sockjs;
        const listed = typeof transports === "string" ? [transports] : transports || [];
        this.chosen = listed.length > 0;
        this.wanted = this.chosen ? listed : usualTransports(environment.hasCrossOriginRequests());
        this.families = familiesOf(this.wanted);
    }
    /** What SockJS may use at an endpoint that is about to be tried; null: what it has been told
     * by the page. */
    begin(endpoint) {
        let route = this.at(endpoint);
        if (!isOpenQuestion(route, this.settings.environment.now())) {
            route = this.recall(endpoint);
            this.routes.set(endpoint, route);
        }
        const asTold = route.from === 0 && (this.chosen || !this.settings.fallback);
        return asTold ? null : transportsFrom(route.from, this.wanted);
    }
    /** Whether there is anything to fall back to from a transport. */
    canLeave(transport) {
        if (!this.settings.fallback || transport === null)
            return false;
        return familyAfter(transport, this.families) >= 0;
    }
    /** What is not in use at an endpoint, and why; `tried`: what SockJS has just tried in vain. */
    leftOut(endpoint, tried) {
        return leftOut(this.at(endpoint), tried, this.families, this.wanted);
    }
    /** A transport delivers, after `tried` have failed. `stable`: and has done so for a while. */
    delivers(endpoint, transport, tried, stable) {
        const { fallback, environment } = this.settings;
        if (!fallback)
            return;
        const now = environment.now();
        const memory = this.load(endpoint);
        const family = familyOf(transport);
        if (proves(this.at(endpoint), transport, tried, stable, now)) {
            const times = memory && memory.from === family ? memory.times + 1 : 1;
            const share = Math.min(1, Math.pow(2, times - 1) / FIRST_SHARE);
            this.save(endpoint, { from: family, until: now + share * fallback.remember, times });
            this.routes.set(endpoint, this.recall(endpoint));
        }
        else if (memory && family >= 0 && family < memory.from) {
            this.save(endpoint, null);
        }
    }
    /** A session failed after it had opened, and its transport may be at fault. True: it is left
     * out from now on. */
    strike(endpoint, trial) {
        if (!this.settings.fallback)
            return false;
        const route = struck(this.at(endpoint), trial, this.families, this.settings.environment.now());
        this.routes.set(endpoint, route);
        if (route === OPEN_ROUTE)
            this.save(endpoint, null);
        return route.from > familyOf(trial.transport);
    }
    /** A session ended in a way that shows its transport to deliver. */
    acquit(endpoint) {
        this.routes.set(endpoint, acquitted(this.at(endpoint)));
    }
    /** No session was opened. `tried`: whether any transport was: then it was wrong, or is by now,
     * to leave others out. Else the endpoint cannot be reached, which says nothing. */
    unreached(endpoint, tried) {
        if (tried && this.at(endpoint).from)
            this.save(endpoint, null);
        this.routes.set(endpoint, OPEN_ROUTE);
    }
    at(endpoint) {
        return this.routes.get(endpoint) || OPEN_ROUTE;
    }
    recall(endpoint) {
        const { fallback, environment } = this.settings;
        const memory = this.load(endpoint);
        if (!fallback || !memory)
            return OPEN_ROUTE;
        const left = memory.until - environment.now();
        const usable = this.families.indexOf(memory.from) >= 0;
        // Longer than anything is remembered: the clock was set back.
        if (!usable || left <= 0 || left > fallback.remember)
            return OPEN_ROUTE;
        return { from: memory.from, remembered: true, suspicions: [], strikes: 0 };
    }
    load(endpoint) {
        let memory;
        try {
            memory = JSON.parse(this.settings.environment.load(PREFIX + endpoint) || "null");
        }
        catch (_a) {
            return null;
        }
        // Others write there, too.
        const sound = memory &&
            [memory.from, memory.until, memory.times].every((n) => typeof n === "number" && n > 0);
        return sound ? memory : null;
    }
    save(endpoint, memory) {
        const text = memory && JSON.stringify(memory);
        this.settings.environment.save(PREFIX + endpoint, text);
    }
}

/** How long a text is on the wire. */
/** The bytes of `text` in UTF-8. An unpaired surrogate counts as the U+FFFD it becomes. */
function utf8Length(text) {
    let bytes = 0;
    for (let i = 0; i < text.length; i++) {
        const unit = text.charCodeAt(i);
        if (unit < 0x80)
            bytes += 1;
        else if (unit < 0x800)
            bytes += 2;
        else if (unit < 0xd800 || unit > 0xdbff)
            bytes += 3;
        else if ((text.charCodeAt(i + 1) & 0xfc00) === 0xdc00) {
            bytes += 4;
            i += 1;
        }
        else
            bytes += 3;
    }
    return bytes;
}

/** Commands on their way and the replies they wait for, within one session. */





/** How many commands may be without a reply, those ahead of others aside. The rest waits here, so
 * that a client with many rooms that comes back is no flood. */
const WINDOW = 16;
/**
 * Each call ends exactly once: `done` with its reply, or `fail` with the gateway's error,
 * `timeout`, `too_large`, or what `close` was given.
 */
class Calls {
    constructor(environment, replyTimeout, write) {
        this.environment = environment;
        this.replyTimeout = replyTimeout;
        this.write = write;
        /** The longest command (bytes) that the gateway takes: it disconnects for longer ones. */
        this.maxBytes = Infinity;
        this.lastId = 0;
        this.unanswered = new Table();
        this.unansweredCount = 0;
        this.waiting = [];
        this.closed = null;
    }
    /** False once the session is over: failures that come then say nothing about the command. */
    get open() {
        return this.closed === null;
    }
    send(command, done, fail, options = {}) {
        if (this.closed) {
            fail(this.closed);
            return;
        }
        const timeout = options.timeout === undefined ? this.replyTimeout : options.timeout;
        const call = { command, timeout, ahead: options.ahead === true, done, fail };
        if (call.ahead)
            this.transmit(call);
        else {
            this.waiting.push(call);
            this.fillWindow();
        }
    }
    /** A message with an id has come. */
    receive(message) {
        const id = String(message.id);
        const entry = this.unanswered.get(id);
        // A reply that nobody waits for is one that came after its time-out.
        if (!entry)
            return;
        this.forget(id);
        if (message.type === "error") {
            const reply = message;
            const { code, reason, temporary, refusal } = reply;
            const error = failure(code, reason, temporary, roomOf(entry.call.command));
            error.refusal = refusal === undefined ? null : refusal;
            entry.call.fail(error);
        }
        else {
            entry.call.done(message);
        }
        this.fillWindow();
    }
    /** The session is over: nothing is sent any more and everything unanswered fails. */
    close(error) {
        this.closed = error;
        const entries = this.unanswered.values();
        const waiting = this.waiting;
        this.unanswered.clear();
        this.waiting = [];
        for (const { timer } of entries)
            timer.stop();
        for (const { call } of entries)
            call.fail(error);
        for (const call of waiting)
            call.fail(error);
    }
    fillWindow() {
        while (this.unansweredCount < WINDOW && this.waiting.length && !this.closed) {
            this.transmit(this.waiting.shift());
        }
    }
    transmit(call) {
        const id = ++this.lastId;
        const text = encode(id, call.command);
        const bytes = utf8Length(text);
        if (bytes > this.maxBytes) {
            const reason = `the command is ${bytes} bytes, the gateway takes at most ${this.maxBytes}`;
            call.fail(failure("too_large", reason, false, roomOf(call.command)));
            return;
        }
        const timer = new Timer(this.environment, () => {
            this.forget(String(id));
            const reason = `no reply to ${call.command.type} within ${call.timeout} ms`;
            call.fail(failure("timeout", reason, true, roomOf(call.command)));
            this.fillWindow();
        });
        this.unanswered.set(String(id), { call, timer });
        if (!call.ahead)
            this.unansweredCount += 1;
        timer.start(call.timeout);
        this.write(text);
    }
    forget(id) {
        const { call, timer } = this.unanswered.get(id);
        timer.stop();
        this.unanswered.remove(id);
        if (!call.ahead)
            this.unansweredCount -= 1;
    }
}
function roomOf(command) {
    return "room" in command ? command.room : null;
}

/** sockjs-client, reduced to what a session needs: open, send, close, which transports it tried, and
 * no late surprises. */

/** SockJS gives up on a transport after a few of its measured round trips, 600 ms on a fast line:
 * a gateway that stalls for longer would push clients off websocket. */
const SOCKJS_TIMEOUT = 3000;
/** The constructor to use when `options.SockJS` is not given: the page's global. */
function globalSockJS() {
    if (typeof SockJS !== "function") {
        throw new Error("there is no global SockJS: load sockjs-client before roomline, or give it as options.SockJS");
    }
    return SockJS;
}
class Transport {
    /** `only`: the transports that SockJS may use, null: what it likes. Raises what `SockJS` raises
     * for a URL that it does not accept. */
    constructor(SockJSClass, url, options, only, now, listener) {
        this.now = now;
        /** SockJS's name of it once it is open, and from then on; null: none. SockJS forgets it when it
         * closes. */
        this.name = null;
        /** What SockJS has begun to try, and when. */
        this.begun = [];
        /** Whether the last one of them has opened; else it has failed when SockJS closes. */
        this.open = false;
        this.openedAt = 0;
        this.closedAt = 0;
        const merged = { timeout: SOCKJS_TIMEOUT };
        for (const name of Object.keys(options))
            merged[name] = options[name];
        if (only)
            merged.transports = only;
        merged.transportOptions = this.watched(options.transportOptions);
        this.socket = new SockJSClass(url, null, merged);
        this.socket.onopen = () => {
            this.open = true;
            this.openedAt = now();
            this.name = this.socket.transport || null;
            listener.opened();
        };
        this.socket.onmessage = (event) => listener.received(event.data);
        this.socket.onclose = (event) => {
            this.closedAt = now();
            this.silence();
            listener.closed(event.code, event.reason);
        };
    }
    /** What SockJS has tried in vain, in that order. */
    get tried() {
        const failed = this.open ? this.begun.slice(0, -1) : this.begun;
        return failed.map(({ transport, at }, i) => {
            const next = this.begun[i + 1];
            const ms = Math.max(0, (next ? next.at : this.closedAt) - at);
            return { transport, reason: "unopened", ms };
        });
    }
    /** Milliseconds that the one that is open took for that. */
    get opening() {
        const last = this.begun[this.begun.length - 1];
        return last ? this.openedAt - last.at : 0;
    }
    send(text) {
        this.socket.send(text);
    }
    /** Leave. The listener hears nothing more. */
    close() {
        this.silence();
        this.socket.close();
    }
    /** The options of each transport. SockJS looks them up when it begins to try that transport,
     * which is how one learns that it does. */
    watched(options = {}) {
        const watched = {};
        for (const transport of transportsFrom(0, null)) {
            const get = () => {
                this.begun.push({ transport, at: this.now() });
                return options[transport];
            };
            Object.defineProperty(watched, transport, { get, enumerable: true });
        }
        return watched;
    }
    silence() {
        this.socket.onopen = this.socket.onmessage = this.socket.onclose = null;
    }
}

/** One connection to one endpoint, from opening SockJS to its end, and its watchdog. */





/** Close codes from here on are the gateway's own decision; SockJS and lost lines give others. */
const FIRST_DECIDED = 3000;
/** Timers that fire this late (milliseconds) show that the machine or the page was asleep. */
const ASLEEP = 2000;
/** On a slow line all takes long, opening too: how many times that a round trip may take. */
const SLOW_LINE = 3;
/** A gateway that opens a transport within this time (milliseconds) is not too busy to open
 * others. */
const PROMPT = 1000;
/** How many pongs in a row must come late. */
const LATE_PONGS = 2;
class Session {
    /** `canLeave`: whether there is another transport to turn to when this one does not deliver. */
    constructor(settings, canLeave, listener) {
        this.settings = settings;
        this.canLeave = canLeave;
        this.listener = listener;
        this.transport = null;
        this.over = false;
        /** Messages without an id so far, as the gateway counts them in `sent`. */
        this.received = 0;
        /** When it began, opened and connected: milliseconds since the epoch; 0: not yet. */
        this.begunAt = 0;
        this.openedAt = 0;
        this.connectedAt = 0;
        /** Whether anything came through. */
        this.heard = false;
        /** How many pongs in a row came late. */
        this.latePongs = 0;
        const { environment, timeouts } = settings;
        this.calls = new Calls(environment, timeouts.reply, (text) => this.transport.send(text));
        this.openTimer = new Timer(environment, () => this.end(null, `not open within ${timeouts.open} ms`));
        this.doubtTimer = new Timer(environment, () => this.doubt());
        this.pingTimer = new Timer(environment, () => this.ping());
    }
    /** Begin. `connect` is asked for and sent as soon as SockJS is open. `only`: the transports to
     * use, or null. */
    open(url, only, connect) {
        const { SockJS, sockjs, environment, timeouts } = this.settings;
        this.begunAt = environment.now();
        this.openTimer.start(timeouts.open);
        try {
            this.transport = new Transport(SockJS, url, sockjs, only, environment.now, {
                opened: () => {
                    this.openedAt = environment.now();
                    this.connect(connect());
                },
                received: (text) => this.receive(text),
                closed: (code, reason) => this.broke(code, reason),
            });
        }
        catch (error) {
            // SockJS refuses a URL by raising: this endpoint is no good, another may be.
            this.end(null, `SockJS does not take ${url}: ${error.message}`);
        }
    }
    /** SockJS's name of the transport, or null. */
    get transportName() {
        return this.transport && this.transport.name;
    }
    /** The transports that SockJS has tried in vain. */
    get tried() {
        return this.transport ? this.transport.tried : [];
    }
    /** Those of them that speak against themselves, and not for a gateway that is too busy. */
    get faulty() {
        return this.transport && this.transport.opening < PROMPT ? this.tried : [];
    }
    /** Whether SockJS was open. */
    get wasOpen() {
        return this.openedAt > 0;
    }
    /** Milliseconds since it began. */
    get age() {
        return Math.max(0, this.settings.environment.now() - this.begunAt);
    }
    /** Leave; the listener hears nothing more. `error` is what unanswered calls fail with. */
    close(error) {
        if (this.over)
            return;
        this.over = true;
        this.openTimer.stop();
        this.doubtTimer.stop();
        this.pingTimer.stop();
        this.calls.close(error);
        if (this.transport)
            this.transport.close();
    }
    end(code, reason, refusal = null, fault = null) {
        if (this.over)
            return;
        const close = code === null ? reason : `${code} ${reason}`;
        this.close(failure("connection_lost", `the connection was lost: ${close}`, true));
        this.listener.ended({ code, reason, refusal, fault });
    }
    /** The connection broke. */
    broke(code, reason) {
        const { fallback, environment } = this.settings;
        const lived = environment.now() - this.openedAt;
        const cut = this.wasOpen && code < FIRST_DECIDED && fallback && lived < fallback.brief;
        this.end(code, reason, null, cut ? "cut" : null);
    }
    /** Milliseconds for a round trip, after which the transport is suspected; null: it is not, for
     * want of another. */
    get patience() {
        const { fallback, timeouts } = this.settings;
        if (!fallback || !this.canLeave(this.transportName))
            return null;
        const slow = SLOW_LINE * (this.openedAt - this.begunAt);
        return Math.min(Math.max(fallback.deliver, slow), timeouts.reply);
    }
    /** Half the patience has passed without an answer to `connect`. A gateway may take its time for
     * that, but not for a ping: any answer shows that the transport delivers. */
    doubt() {
        const wait = this.patience / 2;
        const sent = this.settings.environment.now();
        this.calls.send({ type: "ping" }, () => undefined, (error) => {
            if (this.connectedAt || error.code !== "timeout" || this.slept(sent, wait))
                return;
            const reason = `${this.transportName} has opened, but nothing comes through`;
            this.end(null, reason, failure("timeout", reason, true), "unanswered");
        }, { timeout: wait, ahead: true });
    }
    /** Whether a timer that was to fire after `wait` proves nothing. */
    slept(since, wait) {
        const passed = this.settings.environment.now() - since;
        return passed < 0 || passed > wait + ASLEEP;
    }
    connect(command) {
        this.openTimer.stop();
        if (this.patience !== null)
            this.doubtTimer.start(this.patience / 2);
        this.calls.send(command, (welcome) => {
            this.doubtTimer.stop();
            this.connectedAt = this.settings.environment.now();
            this.calls.maxBytes = welcome.limits.message_bytes;
            this.pingTimer.start(this.settings.timeouts.ping);
            this.listener.connected(welcome);
        }, (error) => {
            const { reply } = this.settings.timeouts;
            const deaf = error.code === "timeout" && !this.heard && !this.slept(this.openedAt, reply);
            this.end(null, error.message, error, deaf ? "unanswered" : null);
        });
    }
    receive(text) {
        this.heard = true;
        const message = parse(text);
        if (!message) {
            this.end(null, `the peer sent what is no message: ${text.slice(0, 80)}`);
        }
        else if (message.id === undefined) {
            this.received += 1;
            this.listener.pushed(message);
        }
        else if (message.id === null) {
            const { code, reason } = message;
            this.listener.complained(failure(code, reason, false));
        }
        else {
            this.calls.receive(message);
        }
    }
    ping() {
        const { ping, pong } = this.settings.timeouts;
        const { now } = this.settings.environment;
        const sent = now();
        this.calls.send({ type: "ping" }, (reply) => {
            const { patience } = this;
            const late = patience !== null && now() - sent > patience;
            this.latePongs = late ? this.latePongs + 1 : 0;
            if (this.latePongs === LATE_PONGS) {
                this.end(null, `${LATE_PONGS} pings were answered late`, null, "late");
                return;
            }
            // Whether it was by chance is asked at once.
            this.pingTimer.start(late ? 0 : ping);
            const complete = reply.sent === this.received;
            // Whoever hears this recovers everything, so what was lost is settled.
            this.received = reply.sent;
            this.listener.sounded(reply.position, complete);
        }, (error) => {
            if (this.over)
                return;
            if (error.code === "timeout") {
                const fault = this.slept(sent, pong) ? null : "silent";
                this.end(null, `a ping was not answered within ${pong} ms`, null, fault);
            }
            // Any other answer shows that the gateway is there.
            else
                this.pingTimer.start(ping);
        }, { timeout: pong, ahead: true });
    }
}

/**
 * Keeping one session alive: which endpoint, by which transport, when to try, when to give up.
 *
 *     disconnected --connect()--> connecting --connected--> connected
 *          ^                       ^     `-- failed: wait, next endpoint --'|
 *          |                       `----------- lost: wait, next endpoint --'
 *          `-- disconnect(), a final close, a refusal that is not temporary, no token for good
 */









/** Close codes from here to 3999 are final; all others are not. */
const FIRST_FINAL = 3500;
const LAST_FINAL = 3999;
const DRAINING = 3001;
class Connector {
    constructor(settings, listener) {
        this.settings = settings;
        this.listener = listener;
        this.state = "disconnected";
        /** What the gateway said in `connected`, while connected. */
        this.welcome = null;
        this.session = null;
        this.endpoint = 0;
        /** When it began to seek a connection: milliseconds since the epoch. */
        this.soughtSince = 0;
        /** Counts changes of state, to notice those that listeners make. */
        this.changes = 0;
        /** Whether the gateway has asked this session to leave. */
        this.leaving = false;
        this.stopAsking = () => undefined;
        const { environment } = settings;
        this.routes = new Routes(settings);
        this.backoff = new Backoff(environment.random, settings.backoff);
        this.retryTimer = new Timer(environment, () => this.attempt());
        this.stableTimer = new Timer(environment, () => this.isStable());
        this.leaveTimer = new Timer(environment, () => this.leave());
        this.refresher = new Refresher(settings, (error) => listener.failed(error), (error) => this.giveUp(error, null, error.message));
    }
    /** SockJS's name of the transport in use, or null. */
    get transport() {
        return this.welcome && this.session ? this.session.transportName : null;
    }
    connect() {
        if (this.state !== "disconnected")
            return;
        this.backoff.reset();
        this.soughtSince = this.settings.environment.now();
        this.retryTimer.start(0);
        this.change("connecting", null, null, null);
    }
    disconnect() {
        if (this.state === "disconnected")
            return;
        this.drop("disconnect() was called", "disconnected");
        this.change("disconnected", null, null, null);
    }
    /** The gateway asks to go elsewhere in `milliseconds`. */
    leaveIn(milliseconds) {
        this.leaving = true;
        this.leaveTimer.start(milliseconds);
    }
    /** Replace the session's token by a new one, then call `done`. False: there is nobody to ask. */
    renew(done) {
        if (!this.settings.token)
            return false;
        this.refresher.renew(done);
        return true;
    }
    attempt() {
        const { environment, timeouts, token } = this.settings;
        if (!token) {
            this.open(null);
            return;
        }
        const change = this.changes;
        this.stopAsking = askForToken(environment, timeouts.reply, token, (given) => {
            // The callback itself may have disconnected.
            if (change === this.changes)
                this.open(given);
        }, (error) => {
            if (change !== this.changes)
                return;
            if (!error.temporary)
                this.giveUp(error, null, error.message);
            else if (this.wait(this.backoff.next(), null, error.message))
                this.listener.failed(error);
        });
    }
    open(token) {
        const canLeave = (transport) => this.routes.canLeave(transport);
        const session = new Session(this.settings, canLeave, {
            connected: (welcome) => this.connected(session, welcome),
            pushed: (message) => this.listener.pushed(message),
            sounded: (position, complete) => this.listener.sounded(position, complete),
            complained: (error) => this.listener.failed(error),
            ended: (ending) => this.ended(session, ending),
        });
        this.session = session;
        const only = this.routes.begin(this.url);
        session.open(this.url, only, () => this.command(session, token));
    }
    get url() {
        return this.settings.endpoints[this.endpoint];
    }
    command(session, token) {
        const command = {
            type: "connect",
            version: PROTOCOL_VERSION,
        };
        if (token === null)
            command.client = this.settings.clientId;
        else
            command.token = token;
        const tried = this.routes.leftOut(this.url, session.tried);
        if (tried.length)
            command.transport = { tried, ms: this.seeking };
        return command;
    }
    /** Milliseconds since it began to seek a connection. */
    get seeking() {
        return Math.max(0, this.settings.environment.now() - this.soughtSince);
    }
    connected(session, welcome) {
        this.welcome = welcome;
        this.stableTimer.start(this.settings.timeouts.stable);
        this.refresher.start(session.calls, welcome.expires_in);
        const { transportName: transport, tried, faulty } = session;
        const report = { transport, tried: this.routes.leftOut(this.url, tried), ms: this.seeking };
        if (transport !== null)
            this.routes.delivers(this.url, transport, faulty, false);
        if (!this.change("connected", null, null, null))
            return;
        const change = this.changes;
        this.listener.routed(report);
        if (change === this.changes)
            this.listener.connected(welcome, session.calls);
    }
    /** The connection has lasted. */
    isStable() {
        this.backoff.reset();
        const { transport } = this;
        if (transport !== null)
            this.routes.delivers(this.url, transport, [], true);
    }
    /** The gateway wants this client on another node. */
    leave() {
        const reason = "the gateway asked to reconnect";
        this.routes.acquit(this.url);
        this.drop(reason, "connection_lost");
        this.moveOn();
        this.wait(this.backoff.move(), null, reason);
    }
    ended(session, { code, reason, refusal, fault }) {
        const fellBack = this.judge(session, fault);
        const asked = this.leaving && code === DRAINING;
        const error = finalError(code, reason, refusal);
        if (error) {
            this.giveUp(error, code, reason);
            return;
        }
        this.drop(reason, "connection_lost");
        // What is left to try is tried at the same endpoint.
        if (!fellBack)
            this.moveOn();
        const current = this.wait(asked ? this.backoff.move() : this.backoff.next(), code, reason);
        if (current && refusal)
            this.listener.failed(refusal);
    }
    /** What the end of a session says of its transport. True: another one is to be used. */
    judge(session, fault) {
        const transport = session.transportName;
        if (!session.wasOpen) {
            this.routes.unreached(this.url, session.tried.length > 0);
            return false;
        }
        if (fault && transport !== null) {
            return this.routes.strike(this.url, { transport, reason: fault, ms: session.age });
        }
        this.routes.acquit(this.url);
        return false;
    }
    giveUp(error, code, reason) {
        this.drop(reason, "connection_lost");
        if (this.change("disconnected", code, reason, null))
            this.listener.refused(error);
    }
    moveOn() {
        this.endpoint = (this.endpoint + 1) % this.settings.endpoints.length;
    }
    wait(milliseconds, code, reason) {
        this.retryTimer.start(milliseconds);
        return this.change("connecting", code, reason, milliseconds);
    }
    /** End the session and everything that goes on for it. */
    drop(reason, code) {
        const session = this.session;
        this.session = null;
        if (this.welcome)
            this.soughtSince = this.settings.environment.now();
        this.welcome = null;
        this.leaving = false;
        this.stopAsking();
        this.retryTimer.stop();
        this.stableTimer.stop();
        this.leaveTimer.stop();
        this.refresher.stop();
        if (session)
            session.close(failure(code, reason, true));
    }
    /** Tell of a new state, everything being ready for it. False: a listener has changed it again. */
    change(state, code, reason, retryIn) {
        const event = { state, previous: this.state, code, reason, retryIn };
        const change = ++this.changes;
        this.state = state;
        if (state !== "connected")
            this.listener.interrupted();
        if (change === this.changes)
            this.listener.changed(event);
        return change === this.changes;
    }
}
/** Why there is no coming back; null: there is. */
function finalError(code, reason, refusal) {
    if (refusal) {
        // A new token may be good where this one was too old.
        return refusal.temporary || isOutdated(refusal) ? null : refusal;
    }
    if (code === null || code < FIRST_FINAL || code > LAST_FINAL)
        return null;
    const entry = DISCONNECTS[code];
    const meaning = entry ? `: ${entry.meaning}` : "";
    return failure(code, `the gateway closed the connection, ${code} ${reason}${meaning}`, false);
}

/** Listeners by event name. */

/** `Events` maps an event's name to what its listeners get. */
class Emitter {
    /** @internal */
    constructor(
    /** @internal */
    environment) {
        this.environment = environment;
        this.listeners = new Table();
    }
    /** Call `listener` at each `event`. Gives a function that ends that. */
    on(event, listener) {
        this.listeners.set(event, (this.listeners.get(event) || []).concat(listener));
        return () => this.off(event, listener);
    }
    /** The opposite of `on`. */
    off(event, listener) {
        const others = (this.listeners.get(event) || []).filter((other) => other !== listener);
        this.listeners.set(event, others);
    }
    /**
     * Tell everybody who listens at this moment. What a listener throws is reported and harms
     * neither the other listeners nor the caller.
     *
     * @internal
     */
    emit(event, value) {
        for (const listener of this.listeners.get(event) || []) {
            try {
                listener(value);
            }
            catch (error) {
                this.environment.report(error);
            }
        }
    }
}

/** Data of the application, frozen as JSON. */
/** What JSON makes of `data` now, so that what is sent later is the same; null: JSON cannot carry it. */
function snapshot(data) {
    let text;
    try {
        text = JSON.stringify(data);
    }
    catch (_a) {
        // Circular, a bigint, or a toJSON that raises: told like everything else JSON cannot carry.
        return null;
    }
    return text === undefined ? null : { data: JSON.parse(text) };
}

/** Publishes that wait for their confirmation, across retries and reconnects. */





class Publisher {
    /** `awaitsAccess`: whether the right to publish to a room may still have to come: it comes with
     * the room's subscription where a room token grants it, or when the rights have changed. `release`
     * must be called when it has. `renew`: replace the connection's token, then call `done`, unless
     * the session ends before; false: there is nobody to ask for one. */
    constructor(settings, awaitsAccess, renew) {
        this.settings = settings;
        this.awaitsAccess = awaitsAccess;
        this.renew = renew;
        this.PromiseClass = promiseMaker();
        this.pending = [];
        this.calls = null;
    }
    /** `key`: null for a random one. `accepting`: whether a connection is there or to be expected. */
    publish(room, data, key, accepting) {
        const { environment, timeouts, maxPending } = this.settings;
        return new this.PromiseClass((resolve, reject) => {
            const publishKey = key === null ? environment.randomId() : key;
            const refuse = (code, message, temporary) => {
                const error = failure(code, message, temporary, room);
                error.key = publishKey;
                reject(error);
            };
            const frozen = snapshot(data);
            if (frozen === null) {
                refuse("bad_request", "data must be a value that JSON can carry", false);
            }
            else if (!accepting) {
                refuse("disconnected", "the client is disconnected: call connect() first", true);
            }
            else if (this.pending.length >= maxPending) {
                refuse("too_many_pending", `${maxPending} publishes wait for their confirmation`, true);
            }
            else {
                const item = {
                    room,
                    data: frozen.data,
                    key: publishKey,
                    backoff: new Backoff(environment.random, this.settings.backoff),
                    retryTimer: new Timer(environment, () => this.send(item)),
                    deadline: new Timer(environment, () => this.fail(item, failure("timeout", `not confirmed within ${timeouts.publish} ms`, true))),
                    held: false,
                    renewed: false,
                    resolve,
                    reject,
                };
                this.pending.push(item);
                item.deadline.start(timeouts.publish);
                this.send(item);
            }
        });
    }
    /** A session has begun: everything unconfirmed is sent, in the order of the calls. */
    resume(calls) {
        this.calls = calls;
        for (const item of this.pending.slice())
            this.send(item);
    }
    /** The session is over; what is unconfirmed waits for the next one. */
    suspend() {
        this.calls = null;
        for (const item of this.pending)
            item.retryTimer.stop();
    }
    /** A room's subscription stands, or has ended: what has waited for it is sent. */
    release(room) {
        for (const item of this.pending.slice())
            if (item.held && item.room === room)
                this.send(item);
    }
    /** No session will follow. */
    abandon(reason) {
        for (const item of this.pending.slice())
            this.fail(item, failure("disconnected", reason, true));
    }
    send(item) {
        const calls = this.calls;
        if (!calls)
            return;
        item.held = this.awaitsAccess(item.room);
        if (item.held)
            return;
        calls.send({ type: "publish", room: item.room, data: item.data, key: item.key }, () => {
            if (this.remove(item))
                item.resolve({ room: item.room, key: item.key });
        }, (error) => {
            if (this.pending.indexOf(item) < 0)
                return;
            const revoked = error.code === "token_revoked";
            if (error.temporary)
                item.retryTimer.start(item.backoff.next());
            // What granted it has ended while it was on its way, and is being renewed.
            else if ((revoked || error.code === "forbidden") && this.awaitsAccess(item.room))
                item.held = true;
            else if (!revoked || !this.renewFor(item))
                this.fail(item, error);
        });
    }
    /** The token that granted it counts no more: send it again when another one was taken. False: it
     * was refused with another one already, or there is none. */
    renewFor(item) {
        if (item.renewed)
            return false;
        item.renewed = true;
        return this.renew(() => {
            if (this.pending.indexOf(item) >= 0)
                this.send(item);
        });
    }
    fail(item, error) {
        if (!this.remove(item))
            return;
        error.room = item.room;
        error.key = item.key;
        item.reject(error);
    }
    remove(item) {
        const place = this.pending.indexOf(item);
        if (place < 0)
            return false;
        this.pending.splice(place, 1);
        item.retryTimer.stop();
        item.deadline.stop();
        return true;
    }
}

/** Requests that wait for their answers: each is sent once, over the connection of the moment. */




class Requester {
    constructor(settings) {
        this.settings = settings;
        this.PromiseClass = promiseMaker();
        /** What waits for a connection. */
        this.unsent = [];
        this.underway = 0;
        this.calls = null;
    }
    /** `accepting`: whether a connection is there or to be expected. */
    request(name, data, options, accepting) {
        const { environment, maxPending, timeouts } = this.settings;
        const timeout = options.timeout === undefined ? timeouts.request : options.timeout;
        return new this.PromiseClass((resolve, reject) => {
            const frozen = snapshot(data);
            if (frozen === null) {
                reject(failure("bad_request", "data must be a value that JSON can carry", false));
            }
            else if (!accepting) {
                reject(failure("disconnected", "the client is disconnected: call connect() first", true));
            }
            else if (this.unsent.length + this.underway >= maxPending) {
                reject(failure("too_many_pending", `${maxPending} requests wait for their answer`, true));
            }
            else {
                const item = {
                    name,
                    data: frozen.data,
                    timeout,
                    deadline: new Timer(environment, () => {
                        this.unsent.splice(this.unsent.indexOf(item), 1);
                        reject(failure("timeout", `not connected within ${timeout} ms: it was not sent`, true));
                    }),
                    resolve,
                    reject,
                };
                if (this.calls)
                    this.send(item, this.calls);
                else {
                    this.unsent.push(item);
                    item.deadline.start(timeout);
                }
            }
        });
    }
    /** A session has begun: what has waited for it is sent, in the order of the calls. */
    resume(calls) {
        this.calls = calls;
        const items = this.unsent;
        this.unsent = [];
        for (const item of items) {
            item.deadline.stop();
            this.send(item, calls);
        }
    }
    /** The session is over. What was sent has failed with it: nothing is sent twice. */
    suspend() {
        this.calls = null;
    }
    /** No session will follow. */
    abandon(reason) {
        const items = this.unsent;
        this.unsent = [];
        for (const { deadline, reject } of items) {
            deadline.stop();
            reject(failure("disconnected", reason, true));
        }
    }
    send({ name, data, timeout, resolve, reject }, calls) {
        this.underway += 1;
        calls.send({ type: "request", name, data, timeout: timeout / 1000 }, (response) => {
            this.underway -= 1;
            resolve(response.data);
        }, (error) => {
            this.underway -= 1;
            reject(error);
        }, 
        // The gateway answers in time; and who waits for an answer holds up nobody else.
        { timeout: timeout + this.settings.timeouts.reply, ahead: true });
    }
}

/**
 * What is older than a gateway's history: pages of an archive, joined to what was told.
 *
 * Each page ends right before the oldest publication that the application has, so that nothing is
 * missing in between and nothing comes twice. The archive follows the log and may be a moment
 * behind: until it has that publication itself, it is asked again.
 */




const WAIT = { base: 250, cap: 4000 };
/** One subscription's way back. */
class Older {
    /** `follower`: where the room stands while nothing was told. */
    constructor(room, settings, follower) {
        this.room = room;
        this.settings = settings;
        this.follower = follower;
        /** The position of the oldest publication that was told; null: none was. */
        this.oldest = null;
        /** Counts how often what was told became void. */
        this.restarts = 0;
        this.queue = null;
    }
    /** A publication is told. */
    told(publication) {
        if (this.oldest === null)
            this.oldest = publication.position;
    }
    /** What was told before is void, and these are told. */
    restart(publications) {
        const first = publications[0];
        this.oldest = first ? first.position : null;
        this.restarts += 1;
    }
    /** The next page, after those that were asked for before. */
    page(limit) {
        const PromiseClass = promiseMaker();
        const page = new PromiseClass((resolve, reject) => {
            const begin = () => this.fetch(limit, resolve, reject);
            if (this.queue)
                this.queue.then(begin, begin);
            else
                begin();
        });
        this.queue = page;
        return page;
    }
    fetch(limit, resolve, reject) {
        const { archive, environment, timeouts } = this.settings;
        if (!archive) {
            reject(new TypeError("options.archive must name the archive that older pages come from"));
            return;
        }
        let trouble = failure("archive_behind", `the archive has not come to this room's publications within ${timeouts.archive} ms`, true, this.room);
        let over = false;
        const end = (action) => {
            if (over)
                return;
            over = true;
            deadline.stop();
            again.stop();
            action();
        };
        const backoff = new Backoff(environment.random, WAIT);
        const deadline = new Timer(environment, () => end(() => reject(trouble)));
        const again = new Timer(environment, () => ask());
        const failed = (error) => {
            const { temporary } = (error || {});
            if (temporary === false)
                end(() => reject(error));
            else {
                if (error)
                    trouble = error;
                if (!over)
                    again.start(backoff.next());
            }
        };
        const ask = () => {
            const { restarts } = this;
            const query = this.query(limit);
            if (!query) {
                const reason = "nothing is known of the room yet: wait until it is subscribed";
                end(() => reject(failure("disconnected", reason, true, this.room)));
                return;
            }
            const take = (page) => {
                if (over)
                    return;
                if (restarts !== this.restarts)
                    ask();
                else if (!page.complete)
                    again.start(backoff.next());
                else {
                    const { publications, more } = page;
                    if (publications[0])
                        this.oldest = publications[0].position;
                    end(() => resolve({ publications, more }));
                }
            };
            let answer;
            try {
                answer = archive(this.room, query);
            }
            catch (error) {
                failed(error);
                return;
            }
            answer.then(take, failed);
        };
        deadline.start(timeouts.archive);
        ask();
    }
    /** What is older than all that was told; null: that is not known yet. */
    query(limit) {
        if (this.oldest !== null)
            return { limit, before: this.oldest };
        // A room that has nothing in the log may get something at any moment, and the archive may have
        // it before we are told of it: so this one has an end, too.
        const { head, position } = this.follower;
        const until = typeof head === "string" ? head : position;
        return until === null ? null : { limit, until };
    }
}
/** The archive behind a URL, to which the room's name is appended: Django's archive view. */
function archiveAt(url) {
    return (room, query) => {
        const PromiseClass = promiseMaker();
        return new PromiseClass((resolve, reject) => {
            const request = new XMLHttpRequest();
            request.onreadystatechange = () => {
                if (request.readyState !== 4)
                    return;
                const answer = parsed(request.responseText);
                if (request.status === 200 && answer) {
                    resolve(answer);
                    return;
                }
                const { code = "archive_failed", reason = `the archive answered ${request.status}` } = (answer || {});
                const temporary = request.status === 0 || request.status >= 500;
                reject(failure(code, reason, temporary, room));
            };
            let address = `${url}${encodeURIComponent(room)}?limit=${query.limit}`;
            if (query.before !== undefined)
                address += `&before=${encodeURIComponent(query.before)}`;
            if (query.until !== undefined)
                address += `&until=${encodeURIComponent(query.until)}`;
            request.open("GET", address);
            request.send();
        });
    };
}
function parsed(text) {
    try {
        return JSON.parse(text);
    }
    catch (error) {
        return null;
    }
}

/**
 * What a client holds of one room's log, and whether what comes continues it.
 *
 * Two positions are kept. Up to the *proved* one everything was told: publications prove it by
 * their chain, and the gateway's replies. A ping whose count agrees moves another one further, the
 * *sounded* one, so that a quiet room can be continued although its last publication is long gone
 * from what gateways hold. But counts agree too when one push was lost and another one doubled.
 * Hence a sounded position is only a place to try first: what is recovered from there must continue
 * the head, else it is recovered from the proved one. A room without a known head has nothing to
 * check that with, and is always continued from the proved position.
 *
 * The price: where the gateway cannot say any more what came before (the head was trimmed from the
 * log), continuity may be reported as lost although it is not. Never the other way round.
 */
class Chain {
    constructor() {
        /** Everything of the room up to here was told; null: nothing yet. Opaque. */
        this.proved = null;
        /** The position of the room's last publication: what the next one's `previous` must be. Null:
         * there is none in the retained log, which says nothing of what may have been trimmed from it.
         * Undefined: not known. */
        this.head = undefined;
        /** Where pings have moved since; null: nowhere. Only beside a head. */
        this.sounded = null;
    }
    /** Where to continue from; null: there is nothing to continue. */
    get position() {
        return this.sounded === null ? this.proved : this.sounded;
    }
    /** Whether this is the last publication once more. */
    repeats(publication) {
        return publication.position === this.head;
    }
    /** Whether nothing is missing between what is held and this publication. */
    continuesWith(publication) {
        return publication.previous === this.head;
    }
    /** Whether `head`, of another session, proves that the room has not changed since. */
    endsWith(head) {
        return head !== null && head === this.head;
    }
    /** Whether nothing is missing between what is held and the first page that was recovered from
     * `position`. */
    joins(page) {
        if (this.sounded === null)
            return true;
        const first = page.publications[0];
        if (first)
            return this.continuesWith(first);
        // The head is told on the last page only.
        return page.more !== true && this.endsWith(page.head);
    }
    /** This publication is told now. */
    take(publication) {
        this.settle(publication.position, publication.position);
    }
    /** The gateway says where the room stands. */
    settle(position, head) {
        this.proved = position;
        this.sounded = null;
        this.head = head;
    }
    /** Counting messages suggests that nothing of this room came up to `position`. */
    advance(position) {
        if (typeof this.head === "string")
            this.sounded = position;
    }
    /** Something is missing: a count that agreed may have been a coincidence. */
    retreat() {
        this.sounded = null;
    }
    /** What is held belongs to a log that is no more, or is not wanted. */
    forget() {
        this.proved = this.sounded = null;
        this.head = undefined;
    }
}

/**
 * Following one room through sessions that come and go: subscribe, recover, notice gaps.
 *
 *     subscribing --subscribed--> subscribed --gap, new session, log reset--> subscribing
 *          `------ permanent error ------> unsubscribed <------ ended by the gateway ---'
 *
 * The proved position only ever moves over what was handed to the sink or what the gateway has said
 * to hold nothing of this room. Publications that come while a `subscribe` is unanswered belong to
 * the subscription before it: they are ignored, as its reply brings them again.
 */





/** Why a room token may be refused although another one would do. */
const STALE_TOKEN = ["token_expired", "token_revoked", "token_invalid", "room_token_required"];
class Follower {
    constructor(room, settings, sink) {
        this.room = room;
        this.settings = settings;
        this.sink = sink;
        this.state = "subscribing";
        /** Whether the gateway pushes this room without being asked. */
        this.automatic = false;
        this.chain = new Chain();
        this.options = {};
        this.calls = null;
        /** Counts what makes answers to earlier commands void. */
        this.attempt = 0;
        /** Whether a page was answered with `more`. */
        this.paging = false;
        /** Why there is nothing to continue from although there was; null otherwise. */
        this.lost = null;
        this.heldToken = null;
        /** Whether the gateway has wanted a token; until then the connection's grants may do. */
        this.tokenWanted = false;
        /** Whether what the connection's token says of this room counts no more. */
        this.outdated = false;
        this.stopAsking = () => undefined;
        this.backoff = new Backoff(settings.environment.random, settings.backoff);
        this.retryTimer = new Timer(settings.environment, () => this.subscribe());
    }
    /** Up to where everything was told; null: nothing yet. */
    get position() {
        return this.chain.proved;
    }
    /** The position of the room's last publication; null: it has none in the retained log;
     * undefined: not known. */
    get head() {
        return this.chain.head;
    }
    /** Whether the right to publish may still have to come: with the room token, or with the new
     * connection token that changed rights make necessary. */
    get awaitsAccess() {
        return this.state === "subscribing" && (this.options.token !== undefined || this.outdated);
    }
    /** What the application wants of this room. A room that is followed already is subscribed to
     * once more: with history or from a position if that is asked for, else continued. */
    want(options, calls) {
        this.calls = calls;
        this.options = options;
        this.heldToken = typeof options.token === "string" ? options.token : null;
        this.tokenWanted = false;
        if (options.since !== undefined)
            this.chain.settle(options.since, undefined);
        else if (options.history)
            this.chain.forget();
        if (calls)
            this.subscribe();
    }
    /** The application wants nothing of this room any more, but it is an automatic one. */
    release() {
        this.options = {};
        this.heldToken = null;
    }
    /** A session has begun; `automatic`: what it says of this room if it is an automatic one. */
    resume(calls, automatic) {
        this.calls = calls;
        this.outdated = false;
        this.automatic = automatic !== null;
        if (automatic && this.isToldBy(automatic)) {
            const recovered = this.chain.position !== null;
            this.chain.settle(automatic.position, automatic.head);
            this.establish(recovered, null, []);
        }
        else {
            this.subscribe();
        }
    }
    /** Whether it follows within this session already. */
    following(calls) {
        return this.calls === calls;
    }
    /** The session is over. */
    suspend() {
        this.calls = null;
        this.pause();
        this.change("subscribing");
    }
    /** Follow no longer. */
    close() {
        this.calls = null;
        this.pause();
        this.state = "unsubscribed";
    }
    /** A publication was pushed. */
    receive(publication) {
        if (!this.live || this.chain.repeats(publication))
            return;
        if (this.chain.continuesWith(publication))
            this.tell(publication);
        else {
            this.chain.retreat();
            this.subscribe();
        }
    }
    /** Pushes may have been lost, of whatever room: get them. From where a ping has moved, if it
     * did: a quiet room's proved position may be one that no gateway can check any more. */
    recover() {
        if (this.live)
            this.subscribe();
    }
    /** The log reaches to `position`, and everything of it up to there has arrived. */
    advance(position) {
        if (this.live)
            this.chain.advance(position);
    }
    /** The gateway ended the subscription. */
    ended(push) {
        // Unless live, an unanswered `subscribe` will tell how things stand.
        if (!this.live)
            return;
        if (push.code === "log_reset") {
            this.chain.forget();
            this.lost = push.code;
            this.subscribe();
        }
        else if (push.code === "rights_changed") {
            this.comeBack();
        }
        else if (
        // Neither the connection's grants nor the last token do any more; another token may.
        (push.code === "token_expired" || push.code === "forbidden") &&
            typeof this.options.token === "function") {
            this.heldToken = null;
            this.tokenWanted = true;
            this.subscribe();
        }
        else {
            this.end(push.code, push.reason);
        }
    }
    /** Whether pushes count: subscribed, and every page has come. */
    get live() {
        return this.state === "subscribed" && !this.paging;
    }
    /** Whether an automatic room needs no `subscribe`: nothing was missed, or nothing is wanted. */
    isToldBy(automatic) {
        if (this.chain.position !== null)
            return this.chain.endsWith(automatic.head);
        return !this.options.history && this.lost === null;
    }
    /** No token from before counts any more; one that is made now may. All who follow the room are
     * told at once, so each waits a little before asking. */
    comeBack() {
        this.pause();
        this.heldToken = null;
        this.tokenWanted = this.outdated = true;
        this.retryTimer.start(this.backoff.next());
        this.change("subscribing");
    }
    pause() {
        this.attempt += 1;
        this.paging = false;
        this.stopAsking();
        this.retryTimer.stop();
    }
    subscribe() {
        this.pause();
        const attempt = this.attempt;
        this.change("subscribing");
        // A listener may have unsubscribed or disconnected.
        if (attempt !== this.attempt)
            return;
        const { token } = this.options;
        if (typeof token !== "function") {
            const renewed = () => {
                if (attempt !== this.attempt)
                    return;
                this.outdated = false;
                this.requestPage(true);
            };
            // There may be nobody to ask for another token: then this one has the last word.
            if (!this.outdated || !this.sink.renew(renewed))
                this.requestPage(this.outdated);
            return;
        }
        if (!this.tokenWanted || this.heldToken !== null) {
            this.requestPage(false);
            return;
        }
        this.stopAsking = askForToken(this.settings.environment, this.settings.timeouts.reply, () => token(this.room), (given) => {
            // The callback itself may have unsubscribed or disconnected.
            if (attempt !== this.attempt)
                return;
            this.heldToken = given;
            this.requestPage(true);
        }, (error) => {
            if (attempt !== this.attempt)
                return;
            error.room = this.room;
            if (error.temporary)
                this.retry(error);
            else
                this.fail(error);
        });
    }
    /** Ask for what follows the position, or for the history if there is none. */
    requestPage(tokenIsFresh) {
        const attempt = this.attempt;
        const calls = this.calls;
        const command = { type: "subscribe", room: this.room };
        if (this.chain.position !== null)
            command.since = this.chain.position;
        if (this.options.history)
            command.history = this.options.history;
        if (this.heldToken !== null)
            command.token = this.heldToken;
        // After the session's end an error says nothing about the room: `suspend` follows.
        const counts = () => attempt === this.attempt && calls.open;
        calls.send(command, (reply) => {
            if (counts())
                this.takePage(reply, attempt);
        }, (error) => {
            if (counts())
                this.refused(error, tokenIsFresh);
        });
    }
    takePage(reply, attempt) {
        const { publications } = reply;
        const more = reply.more === true;
        const first = !this.paging;
        this.backoff.reset();
        if (first && reply.recovered === true && !this.chain.joins(reply)) {
            this.chain.retreat();
            this.requestPage(false);
            return;
        }
        this.paging = more;
        if (reply.recovered !== true) {
            const last = publications[publications.length - 1];
            this.chain.settle(reply.position, more ? last && last.position : reply.head);
            this.establish(false, reply.reason || this.lost, publications);
        }
        else {
            if (first)
                this.establish(true, null, []);
            for (const publication of publications) {
                if (attempt !== this.attempt)
                    return;
                if (!this.chain.repeats(publication))
                    this.tell(publication);
            }
            if (attempt !== this.attempt)
                return;
            // The head is told on the last page only; until then it is what was taken last.
            if (more)
                this.chain.settle(reply.position, this.chain.head);
            else
                this.chain.settle(reply.position, reply.head);
        }
        if (attempt === this.attempt && more)
            this.requestPage(false);
    }
    refused(error, tokenIsFresh) {
        const stale = STALE_TOKEN.indexOf(String(error.code)) >= 0;
        const renewable = stale && typeof this.options.token === "function";
        if (renewable) {
            this.heldToken = null;
            this.tokenWanted = true;
        }
        // What the connection's token says of the room counts no more, and no push has told us.
        const ofConnection = error.code === "token_revoked" && !this.heldToken && !renewable;
        if (ofConnection)
            this.outdated = true;
        if ((renewable || ofConnection) && !tokenIsFresh)
            this.subscribe();
        else if (error.temporary || (renewable && isOutdated(error)))
            this.retry(error);
        else
            this.fail(error);
    }
    fail(error) {
        const attempt = this.attempt;
        this.sink.failed(error);
        if (attempt === this.attempt)
            this.end(String(error.code), error.message);
    }
    retry(error) {
        this.paging = false;
        this.change("subscribing");
        this.retryTimer.start(this.backoff.next());
        this.sink.failed(error);
    }
    end(code, reason) {
        this.close();
        this.sink.ended(code, reason);
    }
    establish(recovered, reason, publications) {
        const attempt = this.attempt;
        this.lost = null;
        this.change("subscribed");
        if (attempt !== this.attempt)
            return;
        this.sink.established({ room: this.room, recovered, reason, publications });
    }
    tell(publication) {
        this.chain.take(publication);
        this.sink.publication(publication);
    }
    change(state) {
        if (state === this.state)
            return;
        this.state = state;
        this.sink.changed(state);
    }
}

/** A room as the application holds it. */

/** Made by `Roomline.subscribe`. Once unsubscribed it stays so. */
class Subscription extends Emitter {
    /** @internal */
    constructor(room, environment, owner, source, 
    /** @internal */
    archive) {
        super(environment);
        this.room = room;
        this.owner = owner;
        this.source = source;
        this.archive = archive;
        this.current = "subscribing";
        this.last = null;
    }
    get state() {
        return this.current;
    }
    /** Everything of the room up to here was told: opaque text for `since`; null: nothing yet. Of the
     * last publication or the last (re)connection; see `position.ts` for why pings do not move it. */
    get position() {
        return this.current === "unsubscribed" ? this.last : this.source.position;
    }
    /** As `Roomline.publish`. */
    publish(data, options) {
        return this.owner.publish(this.room, data, options);
    }
    /** The latest publications of the room, at most `limit`. Not retried: rejected with a
     * `RoomlineError` while there is no connection. */
    history(limit) {
        return this.owner.history(this.room, limit);
    }
    /** Publications from `options.archive` that are older than all that this subscription has told,
     * at most `limit`: each call goes on where the last one has ended. Retried while the archive is
     * behind or away; rejected with a `RoomlineError`. */
    older(limit) {
        return this.archive.page(limit);
    }
    /** End this subscription. */
    unsubscribe() {
        if (this.current !== "unsubscribed")
            this.owner.unsubscribe(this);
    }
    /** @internal */
    change(state) {
        const previous = this.current;
        if (state === previous)
            return;
        if (state === "unsubscribed")
            this.last = this.source.position;
        this.current = state;
        this.emit("state", { state, previous });
    }
}

/** All rooms that are followed, and which of them the application has subscribed to. */




class Rooms {
    constructor(settings, owner) {
        this.settings = settings;
        this.owner = owner;
        this.followed = new Table();
        /** Rooms whose latest command is an `unsubscribe` that is unanswered; each has its own mark. */
        this.leaving = new Table();
        this.calls = null;
        this.subscriptionOwner = {
            publish: owner.publish,
            history: owner.history,
            unsubscribe: (subscription) => this.unsubscribe(subscription),
        };
    }
    subscribe(room, options) {
        if (typeof room !== "string" || !room)
            throw new TypeError("room must be a name, not empty");
        const entry = this.followed.get(room) || this.follow(room);
        if (entry.subscription) {
            throw new Error(`room ${room} is subscribed to already, client.subscription(room) has it`);
        }
        const { follower } = entry;
        const { environment } = this.settings;
        const older = new Older(room, this.settings, follower);
        const subscription = new Subscription(room, environment, this.subscriptionOwner, follower, older);
        entry.subscription = subscription;
        this.leaving.remove(room);
        follower.want(options, this.calls);
        return subscription;
    }
    subscription(room) {
        const entry = this.followed.get(room);
        return entry ? entry.subscription : null;
    }
    /** Whether the right to publish to this room may still have to come, with its subscription. */
    awaitsAccess(room) {
        const entry = this.followed.get(room);
        return entry !== undefined && entry.follower.awaitsAccess;
    }
    /** A session has begun, with these automatic rooms. */
    resume(calls, automatic) {
        this.calls = calls;
        const listed = new Table();
        for (const entry of automatic) {
            listed.set(entry.room, entry);
            if (!this.followed.get(entry.room))
                this.follow(entry.room);
        }
        for (const entry of this.followed.values()) {
            const { follower, subscription } = entry;
            const { room } = follower;
            // Listeners that are called in this loop may subscribe, unsubscribe, or disconnect.
            if (this.calls !== calls)
                return;
            if (this.followed.get(room) !== entry || follower.following(calls))
                continue;
            const told = listed.get(room) || null;
            if (told || subscription)
                follower.resume(calls, told);
            else
                this.followed.remove(room);
        }
    }
    /** There is no session. */
    suspend() {
        this.calls = null;
        this.leaving.clear();
        for (const { follower } of this.followed.values())
            follower.suspend();
    }
    /** A publication was pushed. */
    receive(publication) {
        const entry = this.followed.get(publication.room);
        if (entry)
            entry.follower.receive(publication);
        else
            this.leave(publication.room);
    }
    /** The gateway ended a subscription. */
    end(push) {
        const entry = this.followed.get(push.room);
        if (entry)
            entry.follower.ended(push);
    }
    /** The log reaches to `position`; `complete`: and every push so far has arrived. */
    sounded(position, complete) {
        for (const { follower } of this.followed.values()) {
            if (complete)
                follower.advance(position);
            else
                follower.recover();
        }
    }
    follow(room) {
        const tell = (name, event) => {
            const { subscription } = entry;
            if (subscription)
                subscription.emit(name, event);
            this.owner.tell(name, event);
        };
        const follower = new Follower(room, this.settings, {
            changed: (state) => {
                if (state === "subscribed")
                    this.owner.opened(room);
                if (entry.subscription)
                    entry.subscription.change(state);
            },
            established: (event) => {
                const { subscription } = entry;
                if (subscription && !event.recovered)
                    subscription.archive.restart(event.publications);
                tell("subscribed", event);
            },
            publication: (publication) => {
                if (entry.subscription)
                    entry.subscription.archive.told(publication);
                tell("publication", publication);
            },
            failed: (error) => tell("error", error),
            renew: (done) => this.owner.renew(done),
            ended: (code, reason) => {
                const { subscription } = entry;
                this.followed.remove(room);
                entry.subscription = null;
                this.owner.opened(room);
                this.tellUnsubscribed(subscription, { room, code, reason });
            },
        });
        const entry = { follower, subscription: null };
        this.followed.set(room, entry);
        return entry;
    }
    unsubscribe(subscription) {
        const { room } = subscription;
        const entry = this.followed.get(room);
        entry.subscription = null;
        if (entry.follower.automatic) {
            // The gateway pushes it whatever the application wants, and the client's events tell it.
            entry.follower.release();
        }
        else {
            entry.follower.close();
            this.followed.remove(room);
            this.leave(room);
        }
        this.owner.opened(room);
        this.tellUnsubscribed(subscription, { room, code: "left", reason: "unsubscribe() was called" });
    }
    /** Tell the gateway that a room is not wanted. */
    leave(room) {
        if (!this.calls || this.leaving.get(room))
            return;
        const mark = {};
        this.leaving.set(room, mark);
        // If it fails, the next publication of the room brings us here again.
        const answered = () => {
            if (this.leaving.get(room) === mark)
                this.leaving.remove(room);
        };
        this.calls.send({ type: "unsubscribe", room }, answered, answered);
    }
    tellUnsubscribed(subscription, event) {
        if (subscription) {
            subscription.change("unsubscribed");
            subscription.emit("unsubscribed", event);
        }
        this.owner.tell("unsubscribed", event);
    }
}

/** What the client takes from its surroundings: timers, the time, randomness, a place for stray
 * errors, and one to remember things from page to page. */

/** 16 random bytes. */
function randomBytes() {
    const source = typeof crypto === "object" ? crypto : typeof msCrypto === "object" ? msCrypto : null;
    if (source && source.getRandomValues)
        return source.getRandomValues(new Uint8Array(16));
    // Browsers without a secure source: unique, which keys need, though guessable.
    const bytes = [];
    while (bytes.length < 16)
        bytes.push(Math.floor(Math.random() * 256));
    return bytes;
}
/** Instead of the browser's storage, where there is none or it may not be used. */
const unsaved = new Table();
/** The browser's storage, or null. Merely naming it raises in some privacy settings. */
function storage() {
    try {
        return typeof localStorage === "object" ? localStorage : null;
    }
    catch (_a) {
        return null;
    }
}
/** What `action` gives; undefined: there is no storage, or it is full, or locked. */
function withStorage(action) {
    const place = storage();
    try {
        return place ? action(place) : undefined;
    }
    catch (_a) {
        return undefined;
    }
}
/** The browser's or Node.js's own. */
const realEnvironment = {
    setTimeout: (action, milliseconds) => setTimeout(action, milliseconds),
    clearTimeout: (handle) => clearTimeout(handle),
    now: () => Date.now(),
    load: (key) => unsaved.get(key) || withStorage((place) => place.getItem(key)) || null,
    save: (key, text) => {
        unsaved.remove(key);
        const saved = withStorage((place) => {
            if (text === null)
                place.removeItem(key);
            else
                place.setItem(key, text);
            return true;
        });
        if (!saved && text !== null)
            unsaved.set(key, text);
    },
    hasCrossOriginRequests: () => typeof XMLHttpRequest !== "undefined" && "withCredentials" in new XMLHttpRequest(),
    random: () => Math.random(),
    randomId: () => {
        const bytes = randomBytes();
        let id = "";
        for (let i = 0; i < bytes.length; i++)
            id += (256 + bytes[i]).toString(16).slice(1);
        return id;
    },
    // As if nobody had caught it: the page's error handling and the console see it.
    report: (error) => {
        setTimeout(() => {
            throw error;
        }, 0);
    },
};

/** The options of a client, and what they become when checked and completed. */



const TIMEOUTS = {
    open: 20000,
    reply: 10000,
    ping: 25000,
    pong: 10000,
    publish: 30000,
    archive: 30000,
    request: 30000,
    stable: 30000,
};
const FALLBACK = { deliver: 4000, brief: 10000, remember: 3600000 };
const CLIENT_ID = /^[A-Za-z0-9_-]{16,64}$/;
/** Raises an `Error` that names what is wrong. */
function settingsOf(endpoints, options) {
    const list = typeof endpoints === "string" ? [endpoints] : endpoints.slice();
    if (!list.length || list.some((url) => typeof url !== "string" || !url)) {
        throw new TypeError("endpoints must be a URL or a list of at least one URL");
    }
    if (options.token !== undefined && typeof options.token !== "function") {
        throw new TypeError("options.token must be a function that gives a token");
    }
    const { archive } = options;
    if (archive !== undefined && typeof archive !== "string" && typeof archive !== "function") {
        throw new TypeError("options.archive must be a URL or a function that gives a page");
    }
    const environment = completed(realEnvironment, options.environment);
    const clientId = options.clientId === undefined ? environment.randomId() : options.clientId;
    if (!CLIENT_ID.test(clientId)) {
        throw new TypeError(`options.clientId is "${clientId}", accepted are 16 to 64 characters of A-Z a-z 0-9 _ -`);
    }
    const maxPending = options.maxPending === undefined ? 64 : options.maxPending;
    if (typeof maxPending !== "number" || !(maxPending >= 1)) {
        throw new TypeError(`options.maxPending is ${maxPending}, accepted is a number from 1`);
    }
    return {
        endpoints: list,
        token: options.token || null,
        clientId,
        archive: typeof archive === "string" ? archiveAt(archive) : archive || null,
        SockJS: options.SockJS || globalSockJS(),
        sockjs: options.sockjs || {},
        backoff: positive("backoff", completed({ base: 500, cap: 20000 }, options.backoff)),
        fallback: options.fallback === false
            ? null
            : positive("fallback", completed(FALLBACK, options.fallback)),
        timeouts: positive("timeouts", completed(TIMEOUTS, options.timeouts)),
        maxPending,
        environment,
    };
}
/** `defaults` with what `given` has of the same names. */
function completed(defaults, given = {}) {
    const result = {};
    for (const name of Object.keys(defaults)) {
        const value = given[name];
        result[name] = value === undefined ? defaults[name] : value;
    }
    return result;
}
function positive(option, numbers) {
    for (const name of Object.keys(numbers)) {
        const value = numbers[name];
        if (typeof value !== "number" || !(value > 0)) {
            throw new TypeError(`options.${option}.${name} is ${value}, accepted is a number of milliseconds above 0`);
        }
    }
    return numbers;
}

/** The client: rooms and publishes on top of a connection that comes and goes. */








class Roomline extends Emitter {
    /** `endpoints`: the URL of a gateway's SockJS endpoint, or several. Nothing is opened before
     * `connect()`. Raises an `Error` that names the option that is wrong. */
    constructor(endpoints, options = {}) {
        const settings = settingsOf(endpoints, options);
        super(settings.environment);
        this.calls = null;
        this.settings = settings;
        const renew = (done) => this.connector.renew(done);
        this.publisher = new Publisher(settings, (room) => this.rooms.awaitsAccess(room), renew);
        this.requester = new Requester(settings);
        this.rooms = new Rooms(settings, {
            tell: (name, event) => this.emit(name, event),
            opened: (room) => this.publisher.release(room),
            renew,
            publish: (room, data, publishOptions) => this.publish(room, data, publishOptions),
            history: (room, limit) => this.history(room, limit),
        });
        this.connector = new Connector(settings, {
            changed: (event) => this.changed(event),
            routed: (event) => this.emit("transport", event),
            connected: (welcome, calls) => this.connected(welcome, calls),
            interrupted: () => this.interrupted(),
            refused: (error) => this.emit("error", error),
            pushed: (message) => this.pushed(message),
            sounded: (position, complete) => this.rooms.sounded(position, complete),
            failed: (error) => this.emit("error", error),
        });
    }
    get state() {
        return this.connector.state;
    }
    /** Who an anonymous client is to the gateway. */
    get clientId() {
        return this.settings.clientId;
    }
    /** The session's public id while connected, else null. */
    get session() {
        return this.connector.welcome && this.connector.welcome.session;
    }
    /** Who the gateway takes this client for; null: nobody in particular, or not connected. */
    get user() {
        return this.connector.welcome && this.connector.welcome.user;
    }
    /** The gateway node while connected, else null. */
    get node() {
        return this.connector.welcome && this.connector.welcome.node;
    }
    /** SockJS's name of the transport in use (`"websocket"`, ...) while connected, else null. */
    get transport() {
        return this.connector.transport;
    }
    /** Connect, and stay connected until `disconnect()` or until the gateway closes for good. */
    connect() {
        this.connector.connect();
    }
    /** Leave. Subscriptions continue at the next `connect()`; pending publishes and requests are
     * rejected. */
    disconnect() {
        this.connector.disconnect();
    }
    /** Subscribe now or as soon as connected. Raises an `Error` if the room has a subscription. */
    subscribe(room, options = {}) {
        return this.rooms.subscribe(room, options);
    }
    /** The application's subscription to a room, or null. */
    subscription(room) {
        return this.rooms.subscription(room);
    }
    /**
     * Publish `data`, any value that JSON can carry. Fulfilled when the broker has confirmed it;
     * until then retried with the same key. Rejected with a `RoomlineError`.
     */
    publish(room, data, options = {}) {
        const key = options.key === undefined ? null : options.key;
        return this.publisher.publish(room, data, key, this.state !== "disconnected");
    }
    /**
     * Ask the project's handler of this name; fulfilled with what it returns. Sent once: rejected
     * with a `RoomlineError` when it is refused, when no answer comes in time, and when the connection
     * is lost meanwhile; where the error is temporary, it may or may not have been carried out.
     */
    request(name, data = null, options = {}) {
        return this.requester.request(name, data, options, this.state !== "disconnected");
    }
    history(room, limit) {
        const PromiseClass = promiseMaker();
        return new PromiseClass((resolve, reject) => {
            if (!this.calls) {
                reject(failure("disconnected", "there is no connection to ask for history on", true, room));
                return;
            }
            this.calls.send({ type: "history", room, limit }, ({ position, publications }) => resolve({ position, publications }), reject);
        });
    }
    changed(event) {
        if (event.state === "disconnected") {
            const reason = event.reason || "disconnect() was called";
            this.publisher.abandon(reason);
            this.requester.abandon(reason);
        }
        this.emit("state", event);
    }
    connected(welcome, calls) {
        this.calls = calls;
        this.rooms.resume(calls, welcome.rooms);
        // A listener may have disconnected.
        if (this.calls !== calls)
            return;
        this.publisher.resume(calls);
        this.requester.resume(calls);
        const { session, user, node, limits } = welcome;
        const rooms = welcome.rooms.map(({ room }) => room);
        this.emit("connected", { session, user, node, limits, rooms, transport: this.transport });
    }
    interrupted() {
        this.calls = null;
        this.publisher.suspend();
        this.requester.suspend();
        this.rooms.suspend();
    }
    pushed(message) {
        const push = message;
        if (message.type === "publication")
            this.rooms.receive(push);
        else if (message.type === "unsubscribed")
            this.rooms.end(push);
        else if (message.type === "reconnect") {
            this.connector.leaveIn(push.after_ms);
        }
        // Anything else is of a newer gateway, for newer clients.
    }
}

export { Roomline, DISCONNECTS, ERRORS, UNRECOVERABLE, UNSUBSCRIBED };
