/*! roomline 0.1.0, MIT */
(function (root, factory) {
    if (typeof define === "function" && define.amd) define([], factory);
    else if (typeof module === "object" && module.exports) module.exports = factory();
    else root.Roomline = factory();
})(typeof self !== "undefined" ? self : this, function () {
"use strict";

var FREE_MOVES = 3;
var Backoff = (function () {
    function Backoff(random, range) {
        this.random = random;
        this.range = range;
        this.attempts = 0;
    }
    Backoff.prototype.next = function () {
        var ceiling = Math.min(this.range.cap, this.range.base * Math.pow(2, this.attempts));
        this.attempts += 1;
        return Math.floor(this.random() * ceiling);
    };
    Backoff.prototype.move = function () {
        if (this.attempts >= FREE_MOVES)
            return this.next();
        this.attempts += 1;
        return 0;
    };
    Backoff.prototype.reset = function () {
        this.attempts = 0;
    };
    return Backoff;
}());

var ERRORS = {
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
var DISCONNECTS = {
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
var UNSUBSCRIBED = {
    token_expired: "the room token expired: subscribe with a new one",
    log_reset: "the log was replaced: subscribe anew, without a position",
    rights_changed: "the room's rights have changed: subscribe with a new token",
    room_closed: "the room was closed",
    forbidden: "the refreshed token does not grant this room any more",
};
var UNRECOVERABLE = {
    malformed: "the position is not one that a gateway gave",
    trimmed: "the position is older than what this node can prove continuous",
    not_in_log: "the log has no such entry: it was replaced or lost its tail",
    evicted: "publications after the position are no longer in memory",
};

function isOutdated(error) {
    return error.code === "token_expired" || error.code === "token_revoked";
}
function failure(code, message, temporary, room) {
    if (room === void 0) { room = null; }
    var error = new Error(message);
    error.name = "RoomlineError";
    error.code = code;
    error.temporary = temporary;
    error.room = room;
    error.key = null;
    error.refusal = null;
    return error;
}

var PROTOCOL_VERSION = 1;
function encode(id, command) {
    return '{"id":' + id + "," + JSON.stringify(command).slice(1);
}
function parse(text) {
    var message;
    try {
        message = JSON.parse(text);
    }
    catch (_a) {
        return null;
    }
    var usable = typeof message === "object" &&
        message !== null &&
        typeof message.type === "string";
    return usable ? message : null;
}

var Timer = (function () {
    function Timer(environment, action) {
        this.environment = environment;
        this.action = action;
        this.handle = null;
        this.pending = false;
    }
    Timer.prototype.start = function (milliseconds) {
        var _this = this;
        this.stop();
        this.pending = true;
        this.handle = this.environment.setTimeout(function () {
            _this.pending = false;
            _this.action();
        }, milliseconds);
    };
    Timer.prototype.stop = function () {
        if (this.pending) {
            this.pending = false;
            this.environment.clearTimeout(this.handle);
        }
    };
    return Timer;
}());

function isThenable(value) {
    return isObject(value) && typeof value.then === "function";
}
function isObject(value) {
    return value !== null && (typeof value === "object" || typeof value === "function");
}
var MinimalPromise = (function () {
    function MinimalPromise(executor) {
        this.outcome = "pending";
        this.waiting = [];
        this.adopt(executor);
    }
    MinimalPromise.prototype.then = function (onFulfilled, onRejected) {
        var _this = this;
        return new MinimalPromise(function (resolve, reject) {
            var react = function () {
                var fulfilled = _this.outcome === "fulfilled";
                var handler = (fulfilled ? onFulfilled : onRejected);
                if (typeof handler !== "function") {
                    if (fulfilled)
                        resolve(_this.value);
                    else
                        reject(_this.value);
                    return;
                }
                var result;
                try {
                    result = handler(_this.value);
                }
                catch (error) {
                    reject(error);
                    return;
                }
                resolve(result);
            };
            if (_this.outcome === "pending")
                _this.waiting.push(react);
            else
                setTimeout(react, 0);
        });
    };
    MinimalPromise.prototype.catch = function (onRejected) {
        return this.then(null, onRejected);
    };
    MinimalPromise.prototype.adopt = function (executor) {
        var _this = this;
        var decided = false;
        var reject = function (reason) {
            if (decided)
                return;
            decided = true;
            _this.settle("rejected", reason);
        };
        try {
            executor(function (value) {
                if (decided)
                    return;
                decided = true;
                _this.resolve(value);
            }, reject);
        }
        catch (error) {
            reject(error);
        }
    };
    MinimalPromise.prototype.resolve = function (value) {
        var _this = this;
        if (value === this) {
            this.settle("rejected", new TypeError("a promise cannot be resolved with itself"));
            return;
        }
        var then;
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
        var follow = then;
        setTimeout(function () { return _this.adopt(function (resolve, reject) { return follow.call(value, resolve, reject); }); }, 0);
    };
    MinimalPromise.prototype.settle = function (outcome, value) {
        this.outcome = outcome;
        this.value = value;
        var waiting = this.waiting;
        this.waiting = [];
        for (var _i = 0, waiting_1 = waiting; _i < waiting_1.length; _i++) {
            var react = waiting_1[_i];
            setTimeout(react, 0);
        }
    };
    return MinimalPromise;
}());

function promiseMaker() {
    return typeof Promise === "function" ? Promise : MinimalPromise;
}

function askForToken(environment, timeout, callback, done, fail) {
    var over = false;
    var finish = function (action) {
        if (over)
            return;
        over = true;
        timer.stop();
        action();
    };
    var refuse = function (why, temporary) {
        if (temporary === void 0) { temporary = true; }
        return finish(function () { return fail(failure("token_failed", "the token callback ".concat(why), temporary)); });
    };
    var threw = function (error) {
        var _a = (error || {}), message = _a.message, temporary = _a.temporary;
        refuse("failed: ".concat(message || error), temporary !== false);
    };
    var accept = function (token) {
        if (token === null || (typeof token === "string" && token))
            finish(function () { return done(token); });
        else
            refuse("gave ".concat(token === "" ? "an empty text" : typeof token, ", accepted is a token or null"));
    };
    var timer = new Timer(environment, function () { return refuse("gave no token within ".concat(timeout, " ms")); });
    timer.start(timeout);
    var answer;
    try {
        answer = callback();
    }
    catch (error) {
        threw(error);
        return function () { return undefined; };
    }
    if (isThenable(answer))
        answer.then(accept, threw);
    else
        accept(answer);
    return function () { return finish(function () { return undefined; }); };
}

var EARLIEST = 0.7;
var LATEST = 0.9;
var SHORTEST = 1000;
var LONGEST = 0x7fffffff;
var Refresher = (function () {
    function Refresher(settings, failed, refused) {
        var _this = this;
        this.settings = settings;
        this.failed = failed;
        this.refused = refused;
        this.calls = null;
        this.stopAsking = function () { return undefined; };
        this.asking = false;
        this.outdated = false;
        this.waiting = [];
        this.timer = new Timer(settings.environment, function () { return _this.ask(); });
        this.backoff = new Backoff(settings.environment.random, settings.backoff);
    }
    Refresher.prototype.start = function (calls, expiresIn) {
        this.calls = calls;
        this.asking = false;
        if (expiresIn === null || !this.settings.token)
            return;
        var share = EARLIEST + (LATEST - EARLIEST) * this.settings.environment.random();
        var wait = Math.floor(1000 * expiresIn * share);
        this.timer.start(Math.min(LONGEST, Math.max(SHORTEST, wait)));
    };
    Refresher.prototype.renew = function (done) {
        this.waiting.push(done);
        this.outdated = this.asking;
        if (!this.asking)
            this.ask();
    };
    Refresher.prototype.stop = function () {
        this.calls = null;
        this.asking = this.outdated = false;
        this.waiting = [];
        this.timer.stop();
        this.stopAsking();
    };
    Refresher.prototype.ask = function () {
        var _this = this;
        this.timer.stop();
        this.asking = true;
        var _a = this.settings, environment = _a.environment, timeouts = _a.timeouts, token = _a.token;
        this.stopAsking = askForToken(environment, timeouts.reply, token, function (given) {
            if (given !== null)
                _this.refresh(given);
            else
                _this.retry(failure("token_failed", "there is no token to refresh the session with", true));
        }, function (error) {
            if (error.temporary)
                _this.retry(error);
            else
                _this.refused(error);
        });
    };
    Refresher.prototype.refresh = function (token) {
        var _this = this;
        var calls = this.calls;
        calls.send({ type: "refresh", token: token }, function (reply) {
            _this.backoff.reset();
            _this.start(calls, reply.expires_in);
            _this.renewed();
        }, function (error) {
            if (calls.open)
                _this.retry(error);
        });
    };
    Refresher.prototype.renewed = function () {
        if (this.outdated) {
            this.outdated = false;
            this.ask();
            return;
        }
        var waiting = this.waiting;
        this.waiting = [];
        for (var _i = 0, waiting_1 = waiting; _i < waiting_1.length; _i++) {
            var done = waiting_1[_i];
            done();
        }
    };
    Refresher.prototype.retry = function (error) {
        this.asking = this.outdated = false;
        this.timer.start(this.backoff.next());
        this.failed(error);
    };
    return Refresher;
}());

var FAMILIES = [
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
var OPEN_ROUTE = { from: 0, remembered: false, suspicions: [], strikes: 0 };
var STRIKES = { silent: 2, cut: 3 };
var SOON = 60000;
var RELICS = ["iframe-eventsource", "htmlfile", "iframe-htmlfile"];
function usualTransports(hasCrossOriginRequests) {
    var names = transportsFrom(0, null);
    return hasCrossOriginRequests ? names.filter(function (name) { return RELICS.indexOf(name) < 0; }) : names;
}
function familiesOf(wanted) {
    var families = FAMILIES.map(function (_, family) { return family; });
    return families.filter(function (family) { return FAMILIES[family].some(function (name) { return wanted.indexOf(name) >= 0; }); });
}
function familyOf(transport) {
    for (var family = 0; family < FAMILIES.length; family++) {
        if (FAMILIES[family].indexOf(transport) >= 0)
            return family;
    }
    return -1;
}
function transportsFrom(from, wanted) {
    var names = FAMILIES.slice(from).reduce(function (all, family) { return all.concat(family); }, []);
    return wanted ? names.filter(function (name) { return wanted.indexOf(name) >= 0; }) : names;
}
function familyAfter(transport, families) {
    var family = familyOf(transport);
    var worse = family < 0 ? [] : families.filter(function (other) { return other > family; });
    return worse.length ? worse[0] : -1;
}
function struck(route, trial, families, now) {
    var strikes = route.strikes + 1;
    var from = route.from, remembered = route.remembered, suspicions = route.suspicions;
    if (strikes < (STRIKES[trial.reason] || 1))
        return { from: from, remembered: remembered, suspicions: suspicions, strikes: strikes };
    var next = familyAfter(trial.transport, families);
    if (next < 0 || remembered)
        return OPEN_ROUTE;
    return {
        from: next,
        remembered: remembered,
        suspicions: recent(suspicions, now).concat([{ trial: trial, at: now }]),
        strikes: 0,
    };
}
function isOpenQuestion(_a, now) {
    var suspicions = _a.suspicions, strikes = _a.strikes;
    return strikes > 0 || recent(suspicions, now).length > 0;
}
function acquitted(_a) {
    var from = _a.from, remembered = _a.remembered, suspicions = _a.suspicions;
    return { from: from, remembered: remembered, suspicions: suspicions, strikes: 0 };
}
function leftOut(route, tried, families, wanted) {
    var skipped = route.remembered ? families.filter(function (family) { return family < route.from; }) : [];
    var remembered = skipped.map(function (family) {
        var names = FAMILIES[family].filter(function (name) { return wanted.indexOf(name) >= 0; });
        return { transport: names[0], reason: "remembered", ms: 0 };
    });
    return remembered.concat(route.suspicions.map(function (_a) {
        var trial = _a.trial;
        return trial;
    }), tried);
}
function proves(route, transport, tried, stable, now) {
    var family = familyOf(transport);
    var suspects = recent(route.suspicions, now).filter(function (_a) {
        var trial = _a.trial;
        return stable || isQuick(trial);
    });
    var better = function (_a) {
        var other = _a.transport;
        return familyOf(other) < family;
    };
    return tried.some(better) || suspects.some(function (_a) {
        var trial = _a.trial;
        return better(trial);
    });
}
function isQuick(_a) {
    var reason = _a.reason;
    return reason === "unanswered";
}
function recent(suspicions, now) {
    return suspicions.filter(function (_a) {
        var at = _a.at;
        return Math.abs(now - at) <= SOON;
    });
}

var Table = (function () {
    function Table() {
        this.entries = {};
    }
    Table.prototype.get = function (key) {
        var name = "$" + key;
        return Object.prototype.hasOwnProperty.call(this.entries, name)
            ? this.entries[name]
            : undefined;
    };
    Table.prototype.set = function (key, value) {
        this.entries["$" + key] = value;
    };
    Table.prototype.remove = function (key) {
        delete this.entries["$" + key];
    };
    Table.prototype.clear = function () {
        this.entries = {};
    };
    Table.prototype.values = function () {
        var _this = this;
        return Object.keys(this.entries).map(function (name) { return _this.entries[name]; });
    };
    return Table;
}());

var PREFIX = "roomline.transport:";
var FIRST_SHARE = 8;
var Routes = (function () {
    function Routes(settings) {
        this.settings = settings;
        this.routes = new Table();
        var environment = settings.environment, sockjs = settings.sockjs;
        var transports = sockjs.transports;
        var listed = typeof transports === "string" ? [transports] : transports || [];
        this.chosen = listed.length > 0;
        this.wanted = this.chosen ? listed : usualTransports(environment.hasCrossOriginRequests());
        this.families = familiesOf(this.wanted);
    }
    Routes.prototype.begin = function (endpoint) {
        var route = this.at(endpoint);
        if (!isOpenQuestion(route, this.settings.environment.now())) {
            route = this.recall(endpoint);
            this.routes.set(endpoint, route);
        }
        var asTold = route.from === 0 && (this.chosen || !this.settings.fallback);
        return asTold ? null : transportsFrom(route.from, this.wanted);
    };
    Routes.prototype.canLeave = function (transport) {
        if (!this.settings.fallback || transport === null)
            return false;
        return familyAfter(transport, this.families) >= 0;
    };
    Routes.prototype.leftOut = function (endpoint, tried) {
        return leftOut(this.at(endpoint), tried, this.families, this.wanted);
    };
    Routes.prototype.delivers = function (endpoint, transport, tried, stable) {
        var _a = this.settings, fallback = _a.fallback, environment = _a.environment;
        if (!fallback)
            return;
        var now = environment.now();
        var memory = this.load(endpoint);
        var family = familyOf(transport);
        if (proves(this.at(endpoint), transport, tried, stable, now)) {
            var times = memory && memory.from === family ? memory.times + 1 : 1;
            var share = Math.min(1, Math.pow(2, times - 1) / FIRST_SHARE);
            this.save(endpoint, { from: family, until: now + share * fallback.remember, times: times });
            this.routes.set(endpoint, this.recall(endpoint));
        }
        else if (memory && family >= 0 && family < memory.from) {
            this.save(endpoint, null);
        }
    };
    Routes.prototype.strike = function (endpoint, trial) {
        if (!this.settings.fallback)
            return false;
        var route = struck(this.at(endpoint), trial, this.families, this.settings.environment.now());
        this.routes.set(endpoint, route);
        if (route === OPEN_ROUTE)
            this.save(endpoint, null);
        return route.from > familyOf(trial.transport);
    };
    Routes.prototype.acquit = function (endpoint) {
        this.routes.set(endpoint, acquitted(this.at(endpoint)));
    };
    Routes.prototype.unreached = function (endpoint, tried) {
        if (tried && this.at(endpoint).from)
            this.save(endpoint, null);
        this.routes.set(endpoint, OPEN_ROUTE);
    };
    Routes.prototype.at = function (endpoint) {
        return this.routes.get(endpoint) || OPEN_ROUTE;
    };
    Routes.prototype.recall = function (endpoint) {
        var _a = this.settings, fallback = _a.fallback, environment = _a.environment;
        var memory = this.load(endpoint);
        if (!fallback || !memory)
            return OPEN_ROUTE;
        var left = memory.until - environment.now();
        var usable = this.families.indexOf(memory.from) >= 0;
        if (!usable || left <= 0 || left > fallback.remember)
            return OPEN_ROUTE;
        return { from: memory.from, remembered: true, suspicions: [], strikes: 0 };
    };
    Routes.prototype.load = function (endpoint) {
        var memory;
        try {
            memory = JSON.parse(this.settings.environment.load(PREFIX + endpoint) || "null");
        }
        catch (_a) {
            return null;
        }
        var sound = memory &&
            [memory.from, memory.until, memory.times].every(function (n) { return typeof n === "number" && n > 0; });
        return sound ? memory : null;
    };
    Routes.prototype.save = function (endpoint, memory) {
        var text = memory && JSON.stringify(memory);
        this.settings.environment.save(PREFIX + endpoint, text);
    };
    return Routes;
}());

function utf8Length(text) {
    var bytes = 0;
    for (var i = 0; i < text.length; i++) {
        var unit = text.charCodeAt(i);
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

var WINDOW = 16;
var Calls = (function () {
    function Calls(environment, replyTimeout, write) {
        this.environment = environment;
        this.replyTimeout = replyTimeout;
        this.write = write;
        this.maxBytes = Infinity;
        this.lastId = 0;
        this.unanswered = new Table();
        this.unansweredCount = 0;
        this.waiting = [];
        this.closed = null;
    }
    Object.defineProperty(Calls.prototype, "open", {
        get: function () {
            return this.closed === null;
        },
        enumerable: false,
        configurable: true
    });
    Calls.prototype.send = function (command, done, fail, options) {
        if (options === void 0) { options = {}; }
        if (this.closed) {
            fail(this.closed);
            return;
        }
        var timeout = options.timeout === undefined ? this.replyTimeout : options.timeout;
        var call = { command: command, timeout: timeout, ahead: options.ahead === true, done: done, fail: fail };
        if (call.ahead)
            this.transmit(call);
        else {
            this.waiting.push(call);
            this.fillWindow();
        }
    };
    Calls.prototype.receive = function (message) {
        var id = String(message.id);
        var entry = this.unanswered.get(id);
        if (!entry)
            return;
        this.forget(id);
        if (message.type === "error") {
            var reply = message;
            var code = reply.code, reason = reply.reason, temporary = reply.temporary, refusal = reply.refusal;
            var error = failure(code, reason, temporary, roomOf(entry.call.command));
            error.refusal = refusal === undefined ? null : refusal;
            entry.call.fail(error);
        }
        else {
            entry.call.done(message);
        }
        this.fillWindow();
    };
    Calls.prototype.close = function (error) {
        this.closed = error;
        var entries = this.unanswered.values();
        var waiting = this.waiting;
        this.unanswered.clear();
        this.waiting = [];
        for (var _i = 0, entries_1 = entries; _i < entries_1.length; _i++) {
            var timer = entries_1[_i].timer;
            timer.stop();
        }
        for (var _a = 0, entries_2 = entries; _a < entries_2.length; _a++) {
            var call = entries_2[_a].call;
            call.fail(error);
        }
        for (var _b = 0, waiting_1 = waiting; _b < waiting_1.length; _b++) {
            var call = waiting_1[_b];
            call.fail(error);
        }
    };
    Calls.prototype.fillWindow = function () {
        while (this.unansweredCount < WINDOW && this.waiting.length && !this.closed) {
            this.transmit(this.waiting.shift());
        }
    };
    Calls.prototype.transmit = function (call) {
        var _this = this;
        var id = ++this.lastId;
        var text = encode(id, call.command);
        var bytes = utf8Length(text);
        if (bytes > this.maxBytes) {
            var reason = "the command is ".concat(bytes, " bytes, the gateway takes at most ").concat(this.maxBytes);
            call.fail(failure("too_large", reason, false, roomOf(call.command)));
            return;
        }
        var timer = new Timer(this.environment, function () {
            _this.forget(String(id));
            var reason = "no reply to ".concat(call.command.type, " within ").concat(call.timeout, " ms");
            call.fail(failure("timeout", reason, true, roomOf(call.command)));
            _this.fillWindow();
        });
        this.unanswered.set(String(id), { call: call, timer: timer });
        if (!call.ahead)
            this.unansweredCount += 1;
        timer.start(call.timeout);
        this.write(text);
    };
    Calls.prototype.forget = function (id) {
        var _a = this.unanswered.get(id), call = _a.call, timer = _a.timer;
        timer.stop();
        this.unanswered.remove(id);
        if (!call.ahead)
            this.unansweredCount -= 1;
    };
    return Calls;
}());

function roomOf(command) {
    return "room" in command ? command.room : null;
}

var SOCKJS_TIMEOUT = 3000;
function globalSockJS() {
    if (typeof SockJS !== "function") {
        throw new Error("there is no global SockJS: load sockjs-client before roomline, or give it as options.SockJS");
    }
    return SockJS;
}
var Transport = (function () {
    function Transport(SockJSClass, url, options, only, now, listener) {
        var _this = this;
        this.now = now;
        this.name = null;
        this.begun = [];
        this.open = false;
        this.openedAt = 0;
        this.closedAt = 0;
        var merged = { timeout: SOCKJS_TIMEOUT };
        for (var _i = 0, _a = Object.keys(options); _i < _a.length; _i++) {
            var name = _a[_i];
            merged[name] = options[name];
        }
        if (only)
            merged.transports = only;
        merged.transportOptions = this.watched(options.transportOptions);
        this.socket = new SockJSClass(url, null, merged);
        this.socket.onopen = function () {
            _this.open = true;
            _this.openedAt = now();
            _this.name = _this.socket.transport || null;
            listener.opened();
        };
        this.socket.onmessage = function (event) { return listener.received(event.data); };
        this.socket.onclose = function (event) {
            _this.closedAt = now();
            _this.silence();
            listener.closed(event.code, event.reason);
        };
    }
    Object.defineProperty(Transport.prototype, "tried", {
        get: function () {
            var _this = this;
            var failed = this.open ? this.begun.slice(0, -1) : this.begun;
            return failed.map(function (_a, i) {
                var transport = _a.transport, at = _a.at;
                var next = _this.begun[i + 1];
                var ms = Math.max(0, (next ? next.at : _this.closedAt) - at);
                return { transport: transport, reason: "unopened", ms: ms };
            });
        },
        enumerable: false,
        configurable: true
    });
    Object.defineProperty(Transport.prototype, "opening", {
        get: function () {
            var last = this.begun[this.begun.length - 1];
            return last ? this.openedAt - last.at : 0;
        },
        enumerable: false,
        configurable: true
    });
    Transport.prototype.send = function (text) {
        this.socket.send(text);
    };
    Transport.prototype.close = function () {
        this.silence();
        this.socket.close();
    };
    Transport.prototype.watched = function (options) {
        var _this = this;
        if (options === void 0) { options = {}; }
        var watched = {};
        var _loop_1 = function (transport) {
            var get = function () {
                _this.begun.push({ transport: transport, at: _this.now() });
                return options[transport];
            };
            Object.defineProperty(watched, transport, { get: get, enumerable: true });
        };
        for (var _i = 0, _a = transportsFrom(0, null); _i < _a.length; _i++) {
            var transport = _a[_i];
            _loop_1(transport);
        }
        return watched;
    };
    Transport.prototype.silence = function () {
        this.socket.onopen = this.socket.onmessage = this.socket.onclose = null;
    };
    return Transport;
}());

var FIRST_DECIDED = 3000;
var ASLEEP = 2000;
var SLOW_LINE = 3;
var PROMPT = 1000;
var LATE_PONGS = 2;
var Session = (function () {
    function Session(settings, canLeave, listener) {
        var _this = this;
        this.settings = settings;
        this.canLeave = canLeave;
        this.listener = listener;
        this.transport = null;
        this.over = false;
        this.received = 0;
        this.begunAt = 0;
        this.openedAt = 0;
        this.connectedAt = 0;
        this.heard = false;
        this.latePongs = 0;
        var environment = settings.environment, timeouts = settings.timeouts;
        this.calls = new Calls(environment, timeouts.reply, function (text) { return _this.transport.send(text); });
        this.openTimer = new Timer(environment, function () {
            return _this.end(null, "not open within ".concat(timeouts.open, " ms"));
        });
        this.doubtTimer = new Timer(environment, function () { return _this.doubt(); });
        this.pingTimer = new Timer(environment, function () { return _this.ping(); });
    }
    Session.prototype.open = function (url, only, connect) {
        var _this = this;
        var _a = this.settings, SockJS = _a.SockJS, sockjs = _a.sockjs, environment = _a.environment, timeouts = _a.timeouts;
        this.begunAt = environment.now();
        this.openTimer.start(timeouts.open);
        try {
            this.transport = new Transport(SockJS, url, sockjs, only, environment.now, {
                opened: function () {
                    _this.openedAt = environment.now();
                    _this.connect(connect());
                },
                received: function (text) { return _this.receive(text); },
                closed: function (code, reason) { return _this.broke(code, reason); },
            });
        }
        catch (error) {
            this.end(null, "SockJS does not take ".concat(url, ": ").concat(error.message));
        }
    };
    Object.defineProperty(Session.prototype, "transportName", {
        get: function () {
            return this.transport && this.transport.name;
        },
        enumerable: false,
        configurable: true
    });
    Object.defineProperty(Session.prototype, "tried", {
        get: function () {
            return this.transport ? this.transport.tried : [];
        },
        enumerable: false,
        configurable: true
    });
    Object.defineProperty(Session.prototype, "faulty", {
        get: function () {
            return this.transport && this.transport.opening < PROMPT ? this.tried : [];
        },
        enumerable: false,
        configurable: true
    });
    Object.defineProperty(Session.prototype, "wasOpen", {
        get: function () {
            return this.openedAt > 0;
        },
        enumerable: false,
        configurable: true
    });
    Object.defineProperty(Session.prototype, "age", {
        get: function () {
            return Math.max(0, this.settings.environment.now() - this.begunAt);
        },
        enumerable: false,
        configurable: true
    });
    Session.prototype.close = function (error) {
        if (this.over)
            return;
        this.over = true;
        this.openTimer.stop();
        this.doubtTimer.stop();
        this.pingTimer.stop();
        this.calls.close(error);
        if (this.transport)
            this.transport.close();
    };
    Session.prototype.end = function (code, reason, refusal, fault) {
        if (refusal === void 0) { refusal = null; }
        if (fault === void 0) { fault = null; }
        if (this.over)
            return;
        var close = code === null ? reason : "".concat(code, " ").concat(reason);
        this.close(failure("connection_lost", "the connection was lost: ".concat(close), true));
        this.listener.ended({ code: code, reason: reason, refusal: refusal, fault: fault });
    };
    Session.prototype.broke = function (code, reason) {
        var _a = this.settings, fallback = _a.fallback, environment = _a.environment;
        var lived = environment.now() - this.openedAt;
        var cut = this.wasOpen && code < FIRST_DECIDED && fallback && lived < fallback.brief;
        this.end(code, reason, null, cut ? "cut" : null);
    };
    Object.defineProperty(Session.prototype, "patience", {
        get: function () {
            var _a = this.settings, fallback = _a.fallback, timeouts = _a.timeouts;
            if (!fallback || !this.canLeave(this.transportName))
                return null;
            var slow = SLOW_LINE * (this.openedAt - this.begunAt);
            return Math.min(Math.max(fallback.deliver, slow), timeouts.reply);
        },
        enumerable: false,
        configurable: true
    });
    Session.prototype.doubt = function () {
        var _this = this;
        var wait = this.patience / 2;
        var sent = this.settings.environment.now();
        this.calls.send({ type: "ping" }, function () { return undefined; }, function (error) {
            if (_this.connectedAt || error.code !== "timeout" || _this.slept(sent, wait))
                return;
            var reason = "".concat(_this.transportName, " has opened, but nothing comes through");
            _this.end(null, reason, failure("timeout", reason, true), "unanswered");
        }, { timeout: wait, ahead: true });
    };
    Session.prototype.slept = function (since, wait) {
        var passed = this.settings.environment.now() - since;
        return passed < 0 || passed > wait + ASLEEP;
    };
    Session.prototype.connect = function (command) {
        var _this = this;
        this.openTimer.stop();
        if (this.patience !== null)
            this.doubtTimer.start(this.patience / 2);
        this.calls.send(command, function (welcome) {
            _this.doubtTimer.stop();
            _this.connectedAt = _this.settings.environment.now();
            _this.calls.maxBytes = welcome.limits.message_bytes;
            _this.pingTimer.start(_this.settings.timeouts.ping);
            _this.listener.connected(welcome);
        }, function (error) {
            var reply = _this.settings.timeouts.reply;
            var deaf = error.code === "timeout" && !_this.heard && !_this.slept(_this.openedAt, reply);
            _this.end(null, error.message, error, deaf ? "unanswered" : null);
        });
    };
    Session.prototype.receive = function (text) {
        this.heard = true;
        var message = parse(text);
        if (!message) {
            this.end(null, "the peer sent what is no message: ".concat(text.slice(0, 80)));
        }
        else if (message.id === undefined) {
            this.received += 1;
            this.listener.pushed(message);
        }
        else if (message.id === null) {
            var _a = message, code = _a.code, reason = _a.reason;
            this.listener.complained(failure(code, reason, false));
        }
        else {
            this.calls.receive(message);
        }
    };
    Session.prototype.ping = function () {
        var _this = this;
        var _a = this.settings.timeouts, ping = _a.ping, pong = _a.pong;
        var now = this.settings.environment.now;
        var sent = now();
        this.calls.send({ type: "ping" }, function (reply) {
            var patience = _this.patience;
            var late = patience !== null && now() - sent > patience;
            _this.latePongs = late ? _this.latePongs + 1 : 0;
            if (_this.latePongs === LATE_PONGS) {
                _this.end(null, "".concat(LATE_PONGS, " pings were answered late"), null, "late");
                return;
            }
            _this.pingTimer.start(late ? 0 : ping);
            var complete = reply.sent === _this.received;
            _this.received = reply.sent;
            _this.listener.sounded(reply.position, complete);
        }, function (error) {
            if (_this.over)
                return;
            if (error.code === "timeout") {
                var fault = _this.slept(sent, pong) ? null : "silent";
                _this.end(null, "a ping was not answered within ".concat(pong, " ms"), null, fault);
            }
            else
                _this.pingTimer.start(ping);
        }, { timeout: pong, ahead: true });
    };
    return Session;
}());

var FIRST_FINAL = 3500;
var LAST_FINAL = 3999;
var DRAINING = 3001;
var Connector = (function () {
    function Connector(settings, listener) {
        var _this = this;
        this.settings = settings;
        this.listener = listener;
        this.state = "disconnected";
        this.welcome = null;
        this.session = null;
        this.endpoint = 0;
        this.soughtSince = 0;
        this.changes = 0;
        this.leaving = false;
        this.stopAsking = function () { return undefined; };
        var environment = settings.environment;
        this.routes = new Routes(settings);
        this.backoff = new Backoff(environment.random, settings.backoff);
        this.retryTimer = new Timer(environment, function () { return _this.attempt(); });
        this.stableTimer = new Timer(environment, function () { return _this.isStable(); });
        this.leaveTimer = new Timer(environment, function () { return _this.leave(); });
        this.refresher = new Refresher(settings, function (error) { return listener.failed(error); }, function (error) { return _this.giveUp(error, null, error.message); });
    }
    Object.defineProperty(Connector.prototype, "transport", {
        get: function () {
            return this.welcome && this.session ? this.session.transportName : null;
        },
        enumerable: false,
        configurable: true
    });
    Connector.prototype.connect = function () {
        if (this.state !== "disconnected")
            return;
        this.backoff.reset();
        this.soughtSince = this.settings.environment.now();
        this.retryTimer.start(0);
        this.change("connecting", null, null, null);
    };
    Connector.prototype.disconnect = function () {
        if (this.state === "disconnected")
            return;
        this.drop("disconnect() was called", "disconnected");
        this.change("disconnected", null, null, null);
    };
    Connector.prototype.leaveIn = function (milliseconds) {
        this.leaving = true;
        this.leaveTimer.start(milliseconds);
    };
    Connector.prototype.renew = function (done) {
        if (!this.settings.token)
            return false;
        this.refresher.renew(done);
        return true;
    };
    Connector.prototype.attempt = function () {
        var _this = this;
        var _a = this.settings, environment = _a.environment, timeouts = _a.timeouts, token = _a.token;
        if (!token) {
            this.open(null);
            return;
        }
        var change = this.changes;
        this.stopAsking = askForToken(environment, timeouts.reply, token, function (given) {
            if (change === _this.changes)
                _this.open(given);
        }, function (error) {
            if (change !== _this.changes)
                return;
            if (!error.temporary)
                _this.giveUp(error, null, error.message);
            else if (_this.wait(_this.backoff.next(), null, error.message))
                _this.listener.failed(error);
        });
    };
    Connector.prototype.open = function (token) {
        var _this = this;
        var canLeave = function (transport) { return _this.routes.canLeave(transport); };
        var session = new Session(this.settings, canLeave, {
            connected: function (welcome) { return _this.connected(session, welcome); },
            pushed: function (message) { return _this.listener.pushed(message); },
            sounded: function (position, complete) { return _this.listener.sounded(position, complete); },
            complained: function (error) { return _this.listener.failed(error); },
            ended: function (ending) { return _this.ended(session, ending); },
        });
        this.session = session;
        var only = this.routes.begin(this.url);
        session.open(this.url, only, function () { return _this.command(session, token); });
    };
    Object.defineProperty(Connector.prototype, "url", {
        get: function () {
            return this.settings.endpoints[this.endpoint];
        },
        enumerable: false,
        configurable: true
    });
    Connector.prototype.command = function (session, token) {
        var command = {
            type: "connect",
            version: PROTOCOL_VERSION,
        };
        if (token === null)
            command.client = this.settings.clientId;
        else
            command.token = token;
        var tried = this.routes.leftOut(this.url, session.tried);
        if (tried.length)
            command.transport = { tried: tried, ms: this.seeking };
        return command;
    };
    Object.defineProperty(Connector.prototype, "seeking", {
        get: function () {
            return Math.max(0, this.settings.environment.now() - this.soughtSince);
        },
        enumerable: false,
        configurable: true
    });
    Connector.prototype.connected = function (session, welcome) {
        this.welcome = welcome;
        this.stableTimer.start(this.settings.timeouts.stable);
        this.refresher.start(session.calls, welcome.expires_in);
        var transport = session.transportName, tried = session.tried, faulty = session.faulty;
        var report = { transport: transport, tried: this.routes.leftOut(this.url, tried), ms: this.seeking };
        if (transport !== null)
            this.routes.delivers(this.url, transport, faulty, false);
        if (!this.change("connected", null, null, null))
            return;
        var change = this.changes;
        this.listener.routed(report);
        if (change === this.changes)
            this.listener.connected(welcome, session.calls);
    };
    Connector.prototype.isStable = function () {
        this.backoff.reset();
        var transport = this.transport;
        if (transport !== null)
            this.routes.delivers(this.url, transport, [], true);
    };
    Connector.prototype.leave = function () {
        var reason = "the gateway asked to reconnect";
        this.routes.acquit(this.url);
        this.drop(reason, "connection_lost");
        this.moveOn();
        this.wait(this.backoff.move(), null, reason);
    };
    Connector.prototype.ended = function (session, _a) {
        var code = _a.code, reason = _a.reason, refusal = _a.refusal, fault = _a.fault;
        var fellBack = this.judge(session, fault);
        var asked = this.leaving && code === DRAINING;
        var error = finalError(code, reason, refusal);
        if (error) {
            this.giveUp(error, code, reason);
            return;
        }
        this.drop(reason, "connection_lost");
        if (!fellBack)
            this.moveOn();
        var current = this.wait(asked ? this.backoff.move() : this.backoff.next(), code, reason);
        if (current && refusal)
            this.listener.failed(refusal);
    };
    Connector.prototype.judge = function (session, fault) {
        var transport = session.transportName;
        if (!session.wasOpen) {
            this.routes.unreached(this.url, session.tried.length > 0);
            return false;
        }
        if (fault && transport !== null) {
            return this.routes.strike(this.url, { transport: transport, reason: fault, ms: session.age });
        }
        this.routes.acquit(this.url);
        return false;
    };
    Connector.prototype.giveUp = function (error, code, reason) {
        this.drop(reason, "connection_lost");
        if (this.change("disconnected", code, reason, null))
            this.listener.refused(error);
    };
    Connector.prototype.moveOn = function () {
        this.endpoint = (this.endpoint + 1) % this.settings.endpoints.length;
    };
    Connector.prototype.wait = function (milliseconds, code, reason) {
        this.retryTimer.start(milliseconds);
        return this.change("connecting", code, reason, milliseconds);
    };
    Connector.prototype.drop = function (reason, code) {
        var session = this.session;
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
    };
    Connector.prototype.change = function (state, code, reason, retryIn) {
        var event = { state: state, previous: this.state, code: code, reason: reason, retryIn: retryIn };
        var change = ++this.changes;
        this.state = state;
        if (state !== "connected")
            this.listener.interrupted();
        if (change === this.changes)
            this.listener.changed(event);
        return change === this.changes;
    };
    return Connector;
}());

function finalError(code, reason, refusal) {
    if (refusal) {
        return refusal.temporary || isOutdated(refusal) ? null : refusal;
    }
    if (code === null || code < FIRST_FINAL || code > LAST_FINAL)
        return null;
    var entry = DISCONNECTS[code];
    var meaning = entry ? ": ".concat(entry.meaning) : "";
    return failure(code, "the gateway closed the connection, ".concat(code, " ").concat(reason).concat(meaning), false);
}

var Emitter = (function () {
    function Emitter(environment) {
        this.environment = environment;
        this.listeners = new Table();
    }
    Emitter.prototype.on = function (event, listener) {
        var _this = this;
        this.listeners.set(event, (this.listeners.get(event) || []).concat(listener));
        return function () { return _this.off(event, listener); };
    };
    Emitter.prototype.off = function (event, listener) {
        var others = (this.listeners.get(event) || []).filter(function (other) { return other !== listener; });
        this.listeners.set(event, others);
    };
    Emitter.prototype.emit = function (event, value) {
        for (var _i = 0, _a = this.listeners.get(event) || []; _i < _a.length; _i++) {
            var listener = _a[_i];
            try {
                listener(value);
            }
            catch (error) {
                this.environment.report(error);
            }
        }
    };
    return Emitter;
}());

function snapshot(data) {
    var text;
    try {
        text = JSON.stringify(data);
    }
    catch (_a) {
        return null;
    }
    return text === undefined ? null : { data: JSON.parse(text) };
}

var Publisher = (function () {
    function Publisher(settings, awaitsAccess, renew) {
        this.settings = settings;
        this.awaitsAccess = awaitsAccess;
        this.renew = renew;
        this.PromiseClass = promiseMaker();
        this.pending = [];
        this.calls = null;
    }
    Publisher.prototype.publish = function (room, data, key, accepting) {
        var _this = this;
        var _a = this.settings, environment = _a.environment, timeouts = _a.timeouts, maxPending = _a.maxPending;
        return new this.PromiseClass(function (resolve, reject) {
            var publishKey = key === null ? environment.randomId() : key;
            var refuse = function (code, message, temporary) {
                var error = failure(code, message, temporary, room);
                error.key = publishKey;
                reject(error);
            };
            var frozen = snapshot(data);
            if (frozen === null) {
                refuse("bad_request", "data must be a value that JSON can carry", false);
            }
            else if (!accepting) {
                refuse("disconnected", "the client is disconnected: call connect() first", true);
            }
            else if (_this.pending.length >= maxPending) {
                refuse("too_many_pending", "".concat(maxPending, " publishes wait for their confirmation"), true);
            }
            else {
                var item_1 = {
                    room: room,
                    data: frozen.data,
                    key: publishKey,
                    backoff: new Backoff(environment.random, _this.settings.backoff),
                    retryTimer: new Timer(environment, function () { return _this.send(item_1); }),
                    deadline: new Timer(environment, function () {
                        return _this.fail(item_1, failure("timeout", "not confirmed within ".concat(timeouts.publish, " ms"), true));
                    }),
                    held: false,
                    renewed: false,
                    resolve: resolve,
                    reject: reject,
                };
                _this.pending.push(item_1);
                item_1.deadline.start(timeouts.publish);
                _this.send(item_1);
            }
        });
    };
    Publisher.prototype.resume = function (calls) {
        this.calls = calls;
        for (var _i = 0, _a = this.pending.slice(); _i < _a.length; _i++) {
            var item = _a[_i];
            this.send(item);
        }
    };
    Publisher.prototype.suspend = function () {
        this.calls = null;
        for (var _i = 0, _a = this.pending; _i < _a.length; _i++) {
            var item = _a[_i];
            item.retryTimer.stop();
        }
    };
    Publisher.prototype.release = function (room) {
        for (var _i = 0, _a = this.pending.slice(); _i < _a.length; _i++) {
            var item = _a[_i];
            if (item.held && item.room === room)
                this.send(item);
        }
    };
    Publisher.prototype.abandon = function (reason) {
        for (var _i = 0, _a = this.pending.slice(); _i < _a.length; _i++) {
            var item = _a[_i];
            this.fail(item, failure("disconnected", reason, true));
        }
    };
    Publisher.prototype.send = function (item) {
        var _this = this;
        var calls = this.calls;
        if (!calls)
            return;
        item.held = this.awaitsAccess(item.room);
        if (item.held)
            return;
        calls.send({ type: "publish", room: item.room, data: item.data, key: item.key }, function () {
            if (_this.remove(item))
                item.resolve({ room: item.room, key: item.key });
        }, function (error) {
            if (_this.pending.indexOf(item) < 0)
                return;
            var revoked = error.code === "token_revoked";
            if (error.temporary)
                item.retryTimer.start(item.backoff.next());
            else if ((revoked || error.code === "forbidden") && _this.awaitsAccess(item.room))
                item.held = true;
            else if (!revoked || !_this.renewFor(item))
                _this.fail(item, error);
        });
    };
    Publisher.prototype.renewFor = function (item) {
        var _this = this;
        if (item.renewed)
            return false;
        item.renewed = true;
        return this.renew(function () {
            if (_this.pending.indexOf(item) >= 0)
                _this.send(item);
        });
    };
    Publisher.prototype.fail = function (item, error) {
        if (!this.remove(item))
            return;
        error.room = item.room;
        error.key = item.key;
        item.reject(error);
    };
    Publisher.prototype.remove = function (item) {
        var place = this.pending.indexOf(item);
        if (place < 0)
            return false;
        this.pending.splice(place, 1);
        item.retryTimer.stop();
        item.deadline.stop();
        return true;
    };
    return Publisher;
}());

var Requester = (function () {
    function Requester(settings) {
        this.settings = settings;
        this.PromiseClass = promiseMaker();
        this.unsent = [];
        this.underway = 0;
        this.calls = null;
    }
    Requester.prototype.request = function (name, data, options, accepting) {
        var _this = this;
        var _a = this.settings, environment = _a.environment, maxPending = _a.maxPending, timeouts = _a.timeouts;
        var timeout = options.timeout === undefined ? timeouts.request : options.timeout;
        return new this.PromiseClass(function (resolve, reject) {
            var frozen = snapshot(data);
            if (frozen === null) {
                reject(failure("bad_request", "data must be a value that JSON can carry", false));
            }
            else if (!accepting) {
                reject(failure("disconnected", "the client is disconnected: call connect() first", true));
            }
            else if (_this.unsent.length + _this.underway >= maxPending) {
                reject(failure("too_many_pending", "".concat(maxPending, " requests wait for their answer"), true));
            }
            else {
                var item_1 = {
                    name: name,
                    data: frozen.data,
                    timeout: timeout,
                    deadline: new Timer(environment, function () {
                        _this.unsent.splice(_this.unsent.indexOf(item_1), 1);
                        reject(failure("timeout", "not connected within ".concat(timeout, " ms: it was not sent"), true));
                    }),
                    resolve: resolve,
                    reject: reject,
                };
                if (_this.calls)
                    _this.send(item_1, _this.calls);
                else {
                    _this.unsent.push(item_1);
                    item_1.deadline.start(timeout);
                }
            }
        });
    };
    Requester.prototype.resume = function (calls) {
        this.calls = calls;
        var items = this.unsent;
        this.unsent = [];
        for (var _i = 0, items_1 = items; _i < items_1.length; _i++) {
            var item = items_1[_i];
            item.deadline.stop();
            this.send(item, calls);
        }
    };
    Requester.prototype.suspend = function () {
        this.calls = null;
    };
    Requester.prototype.abandon = function (reason) {
        var items = this.unsent;
        this.unsent = [];
        for (var _i = 0, items_2 = items; _i < items_2.length; _i++) {
            var _a = items_2[_i], deadline = _a.deadline, reject = _a.reject;
            deadline.stop();
            reject(failure("disconnected", reason, true));
        }
    };
    Requester.prototype.send = function (_a, calls) {
        var _this = this;
        var name = _a.name, data = _a.data, timeout = _a.timeout, resolve = _a.resolve, reject = _a.reject;
        this.underway += 1;
        calls.send({ type: "request", name: name, data: data, timeout: timeout / 1000 }, function (response) {
            _this.underway -= 1;
            resolve(response.data);
        }, function (error) {
            _this.underway -= 1;
            reject(error);
        }, { timeout: timeout + this.settings.timeouts.reply, ahead: true });
    };
    return Requester;
}());

var WAIT = { base: 250, cap: 4000 };
var Older = (function () {
    function Older(room, settings, follower) {
        this.room = room;
        this.settings = settings;
        this.follower = follower;
        this.oldest = null;
        this.restarts = 0;
        this.queue = null;
    }
    Older.prototype.told = function (publication) {
        if (this.oldest === null)
            this.oldest = publication.position;
    };
    Older.prototype.restart = function (publications) {
        var first = publications[0];
        this.oldest = first ? first.position : null;
        this.restarts += 1;
    };
    Older.prototype.page = function (limit) {
        var _this = this;
        var PromiseClass = promiseMaker();
        var page = new PromiseClass(function (resolve, reject) {
            var begin = function () { return _this.fetch(limit, resolve, reject); };
            if (_this.queue)
                _this.queue.then(begin, begin);
            else
                begin();
        });
        this.queue = page;
        return page;
    };
    Older.prototype.fetch = function (limit, resolve, reject) {
        var _this = this;
        var _a = this.settings, archive = _a.archive, environment = _a.environment, timeouts = _a.timeouts;
        if (!archive) {
            reject(new TypeError("options.archive must name the archive that older pages come from"));
            return;
        }
        var trouble = failure("archive_behind", "the archive has not come to this room's publications within ".concat(timeouts.archive, " ms"), true, this.room);
        var over = false;
        var end = function (action) {
            if (over)
                return;
            over = true;
            deadline.stop();
            again.stop();
            action();
        };
        var backoff = new Backoff(environment.random, WAIT);
        var deadline = new Timer(environment, function () { return end(function () { return reject(trouble); }); });
        var again = new Timer(environment, function () { return ask(); });
        var failed = function (error) {
            var temporary = (error || {}).temporary;
            if (temporary === false)
                end(function () { return reject(error); });
            else {
                if (error)
                    trouble = error;
                if (!over)
                    again.start(backoff.next());
            }
        };
        var ask = function () {
            var restarts = _this.restarts;
            var query = _this.query(limit);
            if (!query) {
                var reason_1 = "nothing is known of the room yet: wait until it is subscribed";
                end(function () { return reject(failure("disconnected", reason_1, true, _this.room)); });
                return;
            }
            var take = function (page) {
                if (over)
                    return;
                if (restarts !== _this.restarts)
                    ask();
                else if (!page.complete)
                    again.start(backoff.next());
                else {
                    var publications_1 = page.publications, more_1 = page.more;
                    if (publications_1[0])
                        _this.oldest = publications_1[0].position;
                    end(function () { return resolve({ publications: publications_1, more: more_1 }); });
                }
            };
            var answer;
            try {
                answer = archive(_this.room, query);
            }
            catch (error) {
                failed(error);
                return;
            }
            answer.then(take, failed);
        };
        deadline.start(timeouts.archive);
        ask();
    };
    Older.prototype.query = function (limit) {
        if (this.oldest !== null)
            return { limit: limit, before: this.oldest };
        var _a = this.follower, head = _a.head, position = _a.position;
        var until = typeof head === "string" ? head : position;
        return until === null ? null : { limit: limit, until: until };
    };
    return Older;
}());

function archiveAt(url) {
    return function (room, query) {
        var PromiseClass = promiseMaker();
        return new PromiseClass(function (resolve, reject) {
            var request = new XMLHttpRequest();
            request.onreadystatechange = function () {
                if (request.readyState !== 4)
                    return;
                var answer = parsed(request.responseText);
                if (request.status === 200 && answer) {
                    resolve(answer);
                    return;
                }
                var _a = (answer || {}), _b = _a.code, code = _b === void 0 ? "archive_failed" : _b, _c = _a.reason, reason = _c === void 0 ? "the archive answered ".concat(request.status) : _c;
                var temporary = request.status === 0 || request.status >= 500;
                reject(failure(code, reason, temporary, room));
            };
            var address = "".concat(url).concat(encodeURIComponent(room), "?limit=").concat(query.limit);
            if (query.before !== undefined)
                address += "&before=".concat(encodeURIComponent(query.before));
            if (query.until !== undefined)
                address += "&until=".concat(encodeURIComponent(query.until));
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

var Chain = (function () {
    function Chain() {
        this.proved = null;
        this.head = undefined;
        this.sounded = null;
    }
    Object.defineProperty(Chain.prototype, "position", {
        get: function () {
            return this.sounded === null ? this.proved : this.sounded;
        },
        enumerable: false,
        configurable: true
    });
    Chain.prototype.repeats = function (publication) {
        return publication.position === this.head;
    };
    Chain.prototype.continuesWith = function (publication) {
        return publication.previous === this.head;
    };
    Chain.prototype.endsWith = function (head) {
        return head !== null && head === this.head;
    };
    Chain.prototype.joins = function (page) {
        if (this.sounded === null)
            return true;
        var first = page.publications[0];
        if (first)
            return this.continuesWith(first);
        return page.more !== true && this.endsWith(page.head);
    };
    Chain.prototype.take = function (publication) {
        this.settle(publication.position, publication.position);
    };
    Chain.prototype.settle = function (position, head) {
        this.proved = position;
        this.sounded = null;
        this.head = head;
    };
    Chain.prototype.advance = function (position) {
        if (typeof this.head === "string")
            this.sounded = position;
    };
    Chain.prototype.retreat = function () {
        this.sounded = null;
    };
    Chain.prototype.forget = function () {
        this.proved = this.sounded = null;
        this.head = undefined;
    };
    return Chain;
}());

var STALE_TOKEN = ["token_expired", "token_revoked", "token_invalid", "room_token_required"];
var Follower = (function () {
    function Follower(room, settings, sink) {
        var _this = this;
        this.room = room;
        this.settings = settings;
        this.sink = sink;
        this.state = "subscribing";
        this.automatic = false;
        this.chain = new Chain();
        this.options = {};
        this.calls = null;
        this.attempt = 0;
        this.paging = false;
        this.lost = null;
        this.heldToken = null;
        this.tokenWanted = false;
        this.outdated = false;
        this.stopAsking = function () { return undefined; };
        this.backoff = new Backoff(settings.environment.random, settings.backoff);
        this.retryTimer = new Timer(settings.environment, function () { return _this.subscribe(); });
    }
    Object.defineProperty(Follower.prototype, "position", {
        get: function () {
            return this.chain.proved;
        },
        enumerable: false,
        configurable: true
    });
    Object.defineProperty(Follower.prototype, "head", {
        get: function () {
            return this.chain.head;
        },
        enumerable: false,
        configurable: true
    });
    Object.defineProperty(Follower.prototype, "awaitsAccess", {
        get: function () {
            return this.state === "subscribing" && (this.options.token !== undefined || this.outdated);
        },
        enumerable: false,
        configurable: true
    });
    Follower.prototype.want = function (options, calls) {
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
    };
    Follower.prototype.release = function () {
        this.options = {};
        this.heldToken = null;
    };
    Follower.prototype.resume = function (calls, automatic) {
        this.calls = calls;
        this.outdated = false;
        this.automatic = automatic !== null;
        if (automatic && this.isToldBy(automatic)) {
            var recovered = this.chain.position !== null;
            this.chain.settle(automatic.position, automatic.head);
            this.establish(recovered, null, []);
        }
        else {
            this.subscribe();
        }
    };
    Follower.prototype.following = function (calls) {
        return this.calls === calls;
    };
    Follower.prototype.suspend = function () {
        this.calls = null;
        this.pause();
        this.change("subscribing");
    };
    Follower.prototype.close = function () {
        this.calls = null;
        this.pause();
        this.state = "unsubscribed";
    };
    Follower.prototype.receive = function (publication) {
        if (!this.live || this.chain.repeats(publication))
            return;
        if (this.chain.continuesWith(publication))
            this.tell(publication);
        else {
            this.chain.retreat();
            this.subscribe();
        }
    };
    Follower.prototype.recover = function () {
        if (this.live)
            this.subscribe();
    };
    Follower.prototype.advance = function (position) {
        if (this.live)
            this.chain.advance(position);
    };
    Follower.prototype.ended = function (push) {
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
        else if ((push.code === "token_expired" || push.code === "forbidden") &&
            typeof this.options.token === "function") {
            this.heldToken = null;
            this.tokenWanted = true;
            this.subscribe();
        }
        else {
            this.end(push.code, push.reason);
        }
    };
    Object.defineProperty(Follower.prototype, "live", {
        get: function () {
            return this.state === "subscribed" && !this.paging;
        },
        enumerable: false,
        configurable: true
    });
    Follower.prototype.isToldBy = function (automatic) {
        if (this.chain.position !== null)
            return this.chain.endsWith(automatic.head);
        return !this.options.history && this.lost === null;
    };
    Follower.prototype.comeBack = function () {
        this.pause();
        this.heldToken = null;
        this.tokenWanted = this.outdated = true;
        this.retryTimer.start(this.backoff.next());
        this.change("subscribing");
    };
    Follower.prototype.pause = function () {
        this.attempt += 1;
        this.paging = false;
        this.stopAsking();
        this.retryTimer.stop();
    };
    Follower.prototype.subscribe = function () {
        var _this = this;
        this.pause();
        var attempt = this.attempt;
        this.change("subscribing");
        if (attempt !== this.attempt)
            return;
        var token = this.options.token;
        if (typeof token !== "function") {
            var renewed = function () {
                if (attempt !== _this.attempt)
                    return;
                _this.outdated = false;
                _this.requestPage(true);
            };
            if (!this.outdated || !this.sink.renew(renewed))
                this.requestPage(this.outdated);
            return;
        }
        if (!this.tokenWanted || this.heldToken !== null) {
            this.requestPage(false);
            return;
        }
        this.stopAsking = askForToken(this.settings.environment, this.settings.timeouts.reply, function () { return token(_this.room); }, function (given) {
            if (attempt !== _this.attempt)
                return;
            _this.heldToken = given;
            _this.requestPage(true);
        }, function (error) {
            if (attempt !== _this.attempt)
                return;
            error.room = _this.room;
            if (error.temporary)
                _this.retry(error);
            else
                _this.fail(error);
        });
    };
    Follower.prototype.requestPage = function (tokenIsFresh) {
        var _this = this;
        var attempt = this.attempt;
        var calls = this.calls;
        var command = { type: "subscribe", room: this.room };
        if (this.chain.position !== null)
            command.since = this.chain.position;
        if (this.options.history)
            command.history = this.options.history;
        if (this.heldToken !== null)
            command.token = this.heldToken;
        var counts = function () { return attempt === _this.attempt && calls.open; };
        calls.send(command, function (reply) {
            if (counts())
                _this.takePage(reply, attempt);
        }, function (error) {
            if (counts())
                _this.refused(error, tokenIsFresh);
        });
    };
    Follower.prototype.takePage = function (reply, attempt) {
        var publications = reply.publications;
        var more = reply.more === true;
        var first = !this.paging;
        this.backoff.reset();
        if (first && reply.recovered === true && !this.chain.joins(reply)) {
            this.chain.retreat();
            this.requestPage(false);
            return;
        }
        this.paging = more;
        if (reply.recovered !== true) {
            var last = publications[publications.length - 1];
            this.chain.settle(reply.position, more ? last && last.position : reply.head);
            this.establish(false, reply.reason || this.lost, publications);
        }
        else {
            if (first)
                this.establish(true, null, []);
            for (var _i = 0, publications_1 = publications; _i < publications_1.length; _i++) {
                var publication = publications_1[_i];
                if (attempt !== this.attempt)
                    return;
                if (!this.chain.repeats(publication))
                    this.tell(publication);
            }
            if (attempt !== this.attempt)
                return;
            if (more)
                this.chain.settle(reply.position, this.chain.head);
            else
                this.chain.settle(reply.position, reply.head);
        }
        if (attempt === this.attempt && more)
            this.requestPage(false);
    };
    Follower.prototype.refused = function (error, tokenIsFresh) {
        var stale = STALE_TOKEN.indexOf(String(error.code)) >= 0;
        var renewable = stale && typeof this.options.token === "function";
        if (renewable) {
            this.heldToken = null;
            this.tokenWanted = true;
        }
        var ofConnection = error.code === "token_revoked" && !this.heldToken && !renewable;
        if (ofConnection)
            this.outdated = true;
        if ((renewable || ofConnection) && !tokenIsFresh)
            this.subscribe();
        else if (error.temporary || (renewable && isOutdated(error)))
            this.retry(error);
        else
            this.fail(error);
    };
    Follower.prototype.fail = function (error) {
        var attempt = this.attempt;
        this.sink.failed(error);
        if (attempt === this.attempt)
            this.end(String(error.code), error.message);
    };
    Follower.prototype.retry = function (error) {
        this.paging = false;
        this.change("subscribing");
        this.retryTimer.start(this.backoff.next());
        this.sink.failed(error);
    };
    Follower.prototype.end = function (code, reason) {
        this.close();
        this.sink.ended(code, reason);
    };
    Follower.prototype.establish = function (recovered, reason, publications) {
        var attempt = this.attempt;
        this.lost = null;
        this.change("subscribed");
        if (attempt !== this.attempt)
            return;
        this.sink.established({ room: this.room, recovered: recovered, reason: reason, publications: publications });
    };
    Follower.prototype.tell = function (publication) {
        this.chain.take(publication);
        this.sink.publication(publication);
    };
    Follower.prototype.change = function (state) {
        if (state === this.state)
            return;
        this.state = state;
        this.sink.changed(state);
    };
    return Follower;
}());

var __extends = (this && this.__extends) || (function () {
    var extendStatics = function (d, b) {
        extendStatics = Object.setPrototypeOf ||
            ({ __proto__: [] } instanceof Array && function (d, b) { d.__proto__ = b; }) ||
            function (d, b) { for (var p in b) if (Object.prototype.hasOwnProperty.call(b, p)) d[p] = b[p]; };
        return extendStatics(d, b);
    };
    return function (d, b) {
        if (typeof b !== "function" && b !== null)
            throw new TypeError("Class extends value " + String(b) + " is not a constructor or null");
        extendStatics(d, b);
        function __() { this.constructor = d; }
        d.prototype = b === null ? Object.create(b) : (__.prototype = b.prototype, new __());
    };
})();

var Subscription = (function (_super) {
    __extends(Subscription, _super);
    function Subscription(room, environment, owner, source, archive) {
        var _this = _super.call(this, environment) || this;
        _this.room = room;
        _this.owner = owner;
        _this.source = source;
        _this.archive = archive;
        _this.current = "subscribing";
        _this.last = null;
        return _this;
    }
    Object.defineProperty(Subscription.prototype, "state", {
        get: function () {
            return this.current;
        },
        enumerable: false,
        configurable: true
    });
    Object.defineProperty(Subscription.prototype, "position", {
        get: function () {
            return this.current === "unsubscribed" ? this.last : this.source.position;
        },
        enumerable: false,
        configurable: true
    });
    Subscription.prototype.publish = function (data, options) {
        return this.owner.publish(this.room, data, options);
    };
    Subscription.prototype.history = function (limit) {
        return this.owner.history(this.room, limit);
    };
    Subscription.prototype.older = function (limit) {
        return this.archive.page(limit);
    };
    Subscription.prototype.unsubscribe = function () {
        if (this.current !== "unsubscribed")
            this.owner.unsubscribe(this);
    };
    Subscription.prototype.change = function (state) {
        var previous = this.current;
        if (state === previous)
            return;
        if (state === "unsubscribed")
            this.last = this.source.position;
        this.current = state;
        this.emit("state", { state: state, previous: previous });
    };
    return Subscription;
}(Emitter));

var Rooms = (function () {
    function Rooms(settings, owner) {
        var _this = this;
        this.settings = settings;
        this.owner = owner;
        this.followed = new Table();
        this.leaving = new Table();
        this.calls = null;
        this.subscriptionOwner = {
            publish: owner.publish,
            history: owner.history,
            unsubscribe: function (subscription) { return _this.unsubscribe(subscription); },
        };
    }
    Rooms.prototype.subscribe = function (room, options) {
        if (typeof room !== "string" || !room)
            throw new TypeError("room must be a name, not empty");
        var entry = this.followed.get(room) || this.follow(room);
        if (entry.subscription) {
            throw new Error("room ".concat(room, " is subscribed to already, client.subscription(room) has it"));
        }
        var follower = entry.follower;
        var environment = this.settings.environment;
        var older = new Older(room, this.settings, follower);
        var subscription = new Subscription(room, environment, this.subscriptionOwner, follower, older);
        entry.subscription = subscription;
        this.leaving.remove(room);
        follower.want(options, this.calls);
        return subscription;
    };
    Rooms.prototype.subscription = function (room) {
        var entry = this.followed.get(room);
        return entry ? entry.subscription : null;
    };
    Rooms.prototype.awaitsAccess = function (room) {
        var entry = this.followed.get(room);
        return entry !== undefined && entry.follower.awaitsAccess;
    };
    Rooms.prototype.resume = function (calls, automatic) {
        this.calls = calls;
        var listed = new Table();
        for (var _i = 0, automatic_1 = automatic; _i < automatic_1.length; _i++) {
            var entry = automatic_1[_i];
            listed.set(entry.room, entry);
            if (!this.followed.get(entry.room))
                this.follow(entry.room);
        }
        for (var _a = 0, _b = this.followed.values(); _a < _b.length; _a++) {
            var entry = _b[_a];
            var follower = entry.follower, subscription = entry.subscription;
            var room = follower.room;
            if (this.calls !== calls)
                return;
            if (this.followed.get(room) !== entry || follower.following(calls))
                continue;
            var told = listed.get(room) || null;
            if (told || subscription)
                follower.resume(calls, told);
            else
                this.followed.remove(room);
        }
    };
    Rooms.prototype.suspend = function () {
        this.calls = null;
        this.leaving.clear();
        for (var _i = 0, _a = this.followed.values(); _i < _a.length; _i++) {
            var follower = _a[_i].follower;
            follower.suspend();
        }
    };
    Rooms.prototype.receive = function (publication) {
        var entry = this.followed.get(publication.room);
        if (entry)
            entry.follower.receive(publication);
        else
            this.leave(publication.room);
    };
    Rooms.prototype.end = function (push) {
        var entry = this.followed.get(push.room);
        if (entry)
            entry.follower.ended(push);
    };
    Rooms.prototype.sounded = function (position, complete) {
        for (var _i = 0, _a = this.followed.values(); _i < _a.length; _i++) {
            var follower = _a[_i].follower;
            if (complete)
                follower.advance(position);
            else
                follower.recover();
        }
    };
    Rooms.prototype.follow = function (room) {
        var _this = this;
        var tell = function (name, event) {
            var subscription = entry.subscription;
            if (subscription)
                subscription.emit(name, event);
            _this.owner.tell(name, event);
        };
        var follower = new Follower(room, this.settings, {
            changed: function (state) {
                if (state === "subscribed")
                    _this.owner.opened(room);
                if (entry.subscription)
                    entry.subscription.change(state);
            },
            established: function (event) {
                var subscription = entry.subscription;
                if (subscription && !event.recovered)
                    subscription.archive.restart(event.publications);
                tell("subscribed", event);
            },
            publication: function (publication) {
                if (entry.subscription)
                    entry.subscription.archive.told(publication);
                tell("publication", publication);
            },
            failed: function (error) { return tell("error", error); },
            renew: function (done) { return _this.owner.renew(done); },
            ended: function (code, reason) {
                var subscription = entry.subscription;
                _this.followed.remove(room);
                entry.subscription = null;
                _this.owner.opened(room);
                _this.tellUnsubscribed(subscription, { room: room, code: code, reason: reason });
            },
        });
        var entry = { follower: follower, subscription: null };
        this.followed.set(room, entry);
        return entry;
    };
    Rooms.prototype.unsubscribe = function (subscription) {
        var room = subscription.room;
        var entry = this.followed.get(room);
        entry.subscription = null;
        if (entry.follower.automatic) {
            entry.follower.release();
        }
        else {
            entry.follower.close();
            this.followed.remove(room);
            this.leave(room);
        }
        this.owner.opened(room);
        this.tellUnsubscribed(subscription, { room: room, code: "left", reason: "unsubscribe() was called" });
    };
    Rooms.prototype.leave = function (room) {
        var _this = this;
        if (!this.calls || this.leaving.get(room))
            return;
        var mark = {};
        this.leaving.set(room, mark);
        var answered = function () {
            if (_this.leaving.get(room) === mark)
                _this.leaving.remove(room);
        };
        this.calls.send({ type: "unsubscribe", room: room }, answered, answered);
    };
    Rooms.prototype.tellUnsubscribed = function (subscription, event) {
        if (subscription) {
            subscription.change("unsubscribed");
            subscription.emit("unsubscribed", event);
        }
        this.owner.tell("unsubscribed", event);
    };
    return Rooms;
}());

function randomBytes() {
    var source = typeof crypto === "object" ? crypto : typeof msCrypto === "object" ? msCrypto : null;
    if (source && source.getRandomValues)
        return source.getRandomValues(new Uint8Array(16));
    var bytes = [];
    while (bytes.length < 16)
        bytes.push(Math.floor(Math.random() * 256));
    return bytes;
}
var unsaved = new Table();
function storage() {
    try {
        return typeof localStorage === "object" ? localStorage : null;
    }
    catch (_a) {
        return null;
    }
}
function withStorage(action) {
    var place = storage();
    try {
        return place ? action(place) : undefined;
    }
    catch (_a) {
        return undefined;
    }
}
var realEnvironment = {
    setTimeout: function (action, milliseconds) { return setTimeout(action, milliseconds); },
    clearTimeout: function (handle) { return clearTimeout(handle); },
    now: function () { return Date.now(); },
    load: function (key) { return unsaved.get(key) || withStorage(function (place) { return place.getItem(key); }) || null; },
    save: function (key, text) {
        unsaved.remove(key);
        var saved = withStorage(function (place) {
            if (text === null)
                place.removeItem(key);
            else
                place.setItem(key, text);
            return true;
        });
        if (!saved && text !== null)
            unsaved.set(key, text);
    },
    hasCrossOriginRequests: function () {
        return typeof XMLHttpRequest !== "undefined" && "withCredentials" in new XMLHttpRequest();
    },
    random: function () { return Math.random(); },
    randomId: function () {
        var bytes = randomBytes();
        var id = "";
        for (var i = 0; i < bytes.length; i++)
            id += (256 + bytes[i]).toString(16).slice(1);
        return id;
    },
    report: function (error) {
        setTimeout(function () {
            throw error;
        }, 0);
    },
};

var TIMEOUTS = {
    open: 20000,
    reply: 10000,
    ping: 25000,
    pong: 10000,
    publish: 30000,
    archive: 30000,
    request: 30000,
    stable: 30000,
};
var FALLBACK = { deliver: 4000, brief: 10000, remember: 3600000 };
var CLIENT_ID = /^[A-Za-z0-9_-]{16,64}$/;
function settingsOf(endpoints, options) {
    var list = typeof endpoints === "string" ? [endpoints] : endpoints.slice();
    if (!list.length || list.some(function (url) { return typeof url !== "string" || !url; })) {
        throw new TypeError("endpoints must be a URL or a list of at least one URL");
    }
    if (options.token !== undefined && typeof options.token !== "function") {
        throw new TypeError("options.token must be a function that gives a token");
    }
    var archive = options.archive;
    if (archive !== undefined && typeof archive !== "string" && typeof archive !== "function") {
        throw new TypeError("options.archive must be a URL or a function that gives a page");
    }
    var environment = completed(realEnvironment, options.environment);
    var clientId = options.clientId === undefined ? environment.randomId() : options.clientId;
    if (!CLIENT_ID.test(clientId)) {
        throw new TypeError("options.clientId is \"".concat(clientId, "\", accepted are 16 to 64 characters of A-Z a-z 0-9 _ -"));
    }
    var maxPending = options.maxPending === undefined ? 64 : options.maxPending;
    if (typeof maxPending !== "number" || !(maxPending >= 1)) {
        throw new TypeError("options.maxPending is ".concat(maxPending, ", accepted is a number from 1"));
    }
    return {
        endpoints: list,
        token: options.token || null,
        clientId: clientId,
        archive: typeof archive === "string" ? archiveAt(archive) : archive || null,
        SockJS: options.SockJS || globalSockJS(),
        sockjs: options.sockjs || {},
        backoff: positive("backoff", completed({ base: 500, cap: 20000 }, options.backoff)),
        fallback: options.fallback === false
            ? null
            : positive("fallback", completed(FALLBACK, options.fallback)),
        timeouts: positive("timeouts", completed(TIMEOUTS, options.timeouts)),
        maxPending: maxPending,
        environment: environment,
    };
}
function completed(defaults, given) {
    if (given === void 0) { given = {}; }
    var result = {};
    for (var _i = 0, _a = Object.keys(defaults); _i < _a.length; _i++) {
        var name = _a[_i];
        var value = given[name];
        result[name] = value === undefined ? defaults[name] : value;
    }
    return result;
}
function positive(option, numbers) {
    for (var _i = 0, _a = Object.keys(numbers); _i < _a.length; _i++) {
        var name = _a[_i];
        var value = numbers[name];
        if (typeof value !== "number" || !(value > 0)) {
            throw new TypeError("options.".concat(option, ".").concat(name, " is ").concat(value, ", accepted is a number of milliseconds above 0"));
        }
    }
    return numbers;
}

var Roomline = (function (_super) {
    __extends(Roomline, _super);
    function Roomline(endpoints, options) {
        if (options === void 0) { options = {}; }
        var _this = this;
        var settings = settingsOf(endpoints, options);
        _this = _super.call(this, settings.environment) || this;
        _this.calls = null;
        _this.settings = settings;
        var renew = function (done) { return _this.connector.renew(done); };
        _this.publisher = new Publisher(settings, function (room) { return _this.rooms.awaitsAccess(room); }, renew);
        _this.requester = new Requester(settings);
        _this.rooms = new Rooms(settings, {
            tell: function (name, event) { return _this.emit(name, event); },
            opened: function (room) { return _this.publisher.release(room); },
            renew: renew,
            publish: function (room, data, publishOptions) { return _this.publish(room, data, publishOptions); },
            history: function (room, limit) { return _this.history(room, limit); },
        });
        _this.connector = new Connector(settings, {
            changed: function (event) { return _this.changed(event); },
            routed: function (event) { return _this.emit("transport", event); },
            connected: function (welcome, calls) { return _this.connected(welcome, calls); },
            interrupted: function () { return _this.interrupted(); },
            refused: function (error) { return _this.emit("error", error); },
            pushed: function (message) { return _this.pushed(message); },
            sounded: function (position, complete) { return _this.rooms.sounded(position, complete); },
            failed: function (error) { return _this.emit("error", error); },
        });
        return _this;
    }
    Object.defineProperty(Roomline.prototype, "state", {
        get: function () {
            return this.connector.state;
        },
        enumerable: false,
        configurable: true
    });
    Object.defineProperty(Roomline.prototype, "clientId", {
        get: function () {
            return this.settings.clientId;
        },
        enumerable: false,
        configurable: true
    });
    Object.defineProperty(Roomline.prototype, "session", {
        get: function () {
            return this.connector.welcome && this.connector.welcome.session;
        },
        enumerable: false,
        configurable: true
    });
    Object.defineProperty(Roomline.prototype, "user", {
        get: function () {
            return this.connector.welcome && this.connector.welcome.user;
        },
        enumerable: false,
        configurable: true
    });
    Object.defineProperty(Roomline.prototype, "node", {
        get: function () {
            return this.connector.welcome && this.connector.welcome.node;
        },
        enumerable: false,
        configurable: true
    });
    Object.defineProperty(Roomline.prototype, "transport", {
        get: function () {
            return this.connector.transport;
        },
        enumerable: false,
        configurable: true
    });
    Roomline.prototype.connect = function () {
        this.connector.connect();
    };
    Roomline.prototype.disconnect = function () {
        this.connector.disconnect();
    };
    Roomline.prototype.subscribe = function (room, options) {
        if (options === void 0) { options = {}; }
        return this.rooms.subscribe(room, options);
    };
    Roomline.prototype.subscription = function (room) {
        return this.rooms.subscription(room);
    };
    Roomline.prototype.publish = function (room, data, options) {
        if (options === void 0) { options = {}; }
        var key = options.key === undefined ? null : options.key;
        return this.publisher.publish(room, data, key, this.state !== "disconnected");
    };
    Roomline.prototype.request = function (name, data, options) {
        if (data === void 0) { data = null; }
        if (options === void 0) { options = {}; }
        return this.requester.request(name, data, options, this.state !== "disconnected");
    };
    Roomline.prototype.history = function (room, limit) {
        var _this = this;
        var PromiseClass = promiseMaker();
        return new PromiseClass(function (resolve, reject) {
            if (!_this.calls) {
                reject(failure("disconnected", "there is no connection to ask for history on", true, room));
                return;
            }
            _this.calls.send({ type: "history", room: room, limit: limit }, function (_a) {
                var position = _a.position, publications = _a.publications;
                return resolve({ position: position, publications: publications });
            }, reject);
        });
    };
    Roomline.prototype.changed = function (event) {
        if (event.state === "disconnected") {
            var reason = event.reason || "disconnect() was called";
            this.publisher.abandon(reason);
            this.requester.abandon(reason);
        }
        this.emit("state", event);
    };
    Roomline.prototype.connected = function (welcome, calls) {
        this.calls = calls;
        this.rooms.resume(calls, welcome.rooms);
        if (this.calls !== calls)
            return;
        this.publisher.resume(calls);
        this.requester.resume(calls);
        var session = welcome.session, user = welcome.user, node = welcome.node, limits = welcome.limits;
        var rooms = welcome.rooms.map(function (_a) {
            var room = _a.room;
            return room;
        });
        this.emit("connected", { session: session, user: user, node: node, limits: limits, rooms: rooms, transport: this.transport });
    };
    Roomline.prototype.interrupted = function () {
        this.calls = null;
        this.publisher.suspend();
        this.requester.suspend();
        this.rooms.suspend();
    };
    Roomline.prototype.pushed = function (message) {
        var push = message;
        if (message.type === "publication")
            this.rooms.receive(push);
        else if (message.type === "unsubscribed")
            this.rooms.end(push);
        else if (message.type === "reconnect") {
            this.connector.leaveIn(push.after_ms);
        }
    };
    return Roomline;
}(Emitter));

Roomline.Roomline = Roomline;
Roomline.DISCONNECTS = DISCONNECTS;
Roomline.ERRORS = ERRORS;
Roomline.UNRECOVERABLE = UNRECOVERABLE;
Roomline.UNSUBSCRIBED = UNSUBSCRIBED;
return Roomline;
});
