# ruff: noqa: E501  # a table: one fault, one line
"""Seeded faults: each is found, at its line and path, and nothing else is called an error.

The line that is expected is the one that ends in `#!`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import NamedTuple

import pytest

from hotmesh.errors import Finding

_HEAD = """\
app:
  id: demo
  version: '1'
  graphs:
    - subscribes: demo.start
"""


class Fault(NamedTuple):
    name: str
    text: str
    path: str
    fragment: str
    severity: str = "error"


def whole(name: str, text: str, path: str, fragment: str, severity: str = "error") -> Fault:
    return Fault(name, textwrap.dedent(text), path, fragment, severity)


def graph(name: str, body: str, path: str, fragment: str, severity: str = "error") -> Fault:
    text = _HEAD + textwrap.indent(textwrap.dedent(body), " " * 6)
    return Fault(name, text, f"graphs[0].{path}" if path else "graphs[0]", fragment, severity)


def activity(name: str, text: str, path: str, fragment: str, severity: str = "error") -> Fault:
    """A fault in `a`, the activity that follows the trigger."""
    body = f"""
    activities:
      t: {{type: trigger}}
      a:
{textwrap.indent(textwrap.dedent(text).strip(), " " * 8)}
    transitions:
      t: [{{to: a}}]
    """
    return graph(name, body, f"activities.a{path}", fragment, severity)


def doubt(name: str, text: str, path: str, fragment: str) -> Fault:
    return activity(name, text, path, fragment, "warning")


YAML = [
    whole("tab", "app:\n\tid: x #!\n", "", "a tab stands where"),
    whole("nested value", "app:\n  id: a: b #!\n", "", "a ':' stands where no key"),
    whole(
        "bad indentation", "app:\n  id: x\n   version: '1' #!\n", "", "a ':' stands where no key"
    ),
    whole("outdented", "app:\n    id: x\n  version: '1' #!\n", "", "the indentation fits nothing"),
    whole("open quote", "app:\n  id: 'x\n#!", "", "never closed"),
    whole("open brace", "app:\n  id: {a: b\n  x: y #!\n", "", "a { is not closed"),
    whole("unquoted at", "app:\n  id: @x #!\n", "", "needs quotes"),
    whole("anchor", "app: &x #!\n  id: x\n", "", "anchors (&) are not supported"),
    whole("alias", "app:\n  id: *x #!\n", "", "aliases (*x) are not supported"),
    whole("tag", "app:\n  id: !!python/name:x y #!\n", "", "the tag '!!python/name:x'"),
    whole("two documents", "app:\n  id: x\n--- #!\napp:\n", "", "a second document begins"),
    whole("yaml 1.1", "%YAML 1.1 #!\n---\napp:\n  id: x\n", "", "remove the %YAML line"),
    whole("key twice", "app:\n  id: x\n  id: y #!\n", "", "'id' is here twice (first at 2:3)"),
    whole("list as key", "app:\n  [a]: y #!\n", "", "a key must be text"),
    whole("huge integer", "app:\n  id: 99999999999999999999 #!\n", "", "over 64 bits"),
    whole("surrogate", 'app:\n  id: "\\ud800" #!\n', "", "surrogate"),
    whole("empty", "#!\n", "", "the document is empty"),
    whole("control character", 'app:\n  id: "x\x07" #!\n', "", "U+0007"),
    whole("escape", 'app:\n  id: "x\\q" #!\n', "", "use single quotes"),
]

TOP = [
    whole("list on top", "- 1 #!\n- 2\n", "", "a model is a mapping that begins with 'app:'"),
    whole("no app", "apps: #!\n  id: x\n", "apps", "did you mean 'app'?"),
    whole("app is text", "app: x #!\n#\n", "app", "`app` must be a mapping"),
    whole("not indented", "app:\n  id: x\ngraphs: [] #!\n", "graphs", "indent it below `app`"),
    whole("no id", "app: #!\n  version: '1'\n  graphs: [{subscribes: x, activities: {t: {type: trigger}}}]\n", "", "`id` is missing"),
    whole("no version", "app: #!\n  id: x\n  graphs: [{subscribes: x, activities: {t: {type: trigger}}}]\n", "", "`version` is missing"),
    whole("no graphs", "app: #!\n  id: x\n  version: '1'\n", "", "`graphs` is missing"),
    whole("graphs a mapping", "app:\n  id: x\n  version: '1'\n  graphs: {a: 1} #!\n", "graphs", "must be a list"),
    whole("graphs empty", "app:\n  id: x\n  version: '1'\n  graphs: [] #!\n", "graphs", "has no graphs"),
    whole("bad id", "app:\n  id: x y #!\n  version: '1'\n  graphs: [{subscribes: x, activities: {t: {type: trigger}}}]\n", "id", "letters, digits and dashes"),
    whole("id a", "app:\n  id: a #!\n  version: '1'\n  graphs: [{subscribes: x, activities: {t: {type: trigger}}}]\n", "id", "can't be called 'a'"),
    whole("bad version", "app:\n  id: x\n  version: '1 {2}' #!\n  graphs: [{subscribes: x, activities: {t: {type: trigger}}}]\n", "version", "version '1 {2}'"),
    whole("misspelt", "app:\n  id: x\n  version: '1'\n  setings: {} #!\n  graphs: [{subscribes: x, activities: {t: {type: trigger}}}]\n", "setings", "did you mean 'settings'?"),
]  # fmt: skip

GRAPH = [
    whole(
        "no subscribes",
        "app:\n  id: x\n  version: '1'\n  graphs:\n    - activities: {t: {type: trigger}} #!\n",
        "graphs[0]",
        "`subscribes` is missing: the topic that starts it",
    ),
    whole(
        "topic twice",
        """\
        app:
          id: x
          version: '1'
          graphs:
            - {subscribes: x, activities: {t: {type: trigger}}}
            - {subscribes: x, activities: {u: {type: trigger}}} #!
        """,
        "graphs[1].subscribes",
        "graphs[0] subscribes to 'x' already",
    ),
    whole(
        "activity twice",
        """\
        app:
          id: x
          version: '1'
          graphs:
            - {subscribes: x, activities: {t: {type: trigger}}}
            - {subscribes: y, activities: {t: {type: trigger}}} #!
        """,
        "graphs[1].activities.t",
        "Duplicate activity id found: t",
    ),
    graph("no activities", "activities: {} #!", "activities", "has no activities"),
    graph("no trigger", "activities: #!\n  h: {type: hook}", "activities", "has no trigger"),
    graph(
        "two triggers",
        "activities:\n  t: {type: trigger}\n  u: {type: trigger} #!",
        "activities.u.type",
        "has a trigger already ('t')",
    ),
    graph("dotted topic", "activities: {t: {type: trigger}}\npublishes: .x #!", "publishes", "begin with a dot"),
    graph("glob topic", "activities: {t: {type: trigger}}\npublishes: x.* #!", "publishes", "topic 'x.*' must be"),
    graph("negative expire", "activities: {t: {type: trigger}}\nexpire: -5 #!", "expire", "-5 is no time"),
    graph("text expire", "activities: {t: {type: trigger}}\nexpire: soon #!", "expire", "'soon' is not a duration"),
    graph("list expire", "activities: {t: {type: trigger}}\nexpire: {a: 1} #!", "expire", "must be text, a reference or a pipe"),
    graph("persistent text", "activities: {t: {type: trigger, persist: true}}\npersistent: 'yes' #!", "persistent", "must be true, false"),
    graph("persistent alone", "activities: {t: {type: trigger}}\npersistent: true #!", "persistent", "no activity of this graph has `persist`", "warning"),
    graph("graph maps", "activities: {t: {type: trigger}}\ninput: {maps: {a: 1}} #!", "input.maps", "is never applied", "warning"),
    graph("graph id", "activities: {t: {type: trigger}}\nid: x #!", "id", "only the app has an id"),
    graph("bad name", "activities: {t: {type: trigger}, 'x y': {type: hook}} #!\ntransitions: {t: [{to: 'x y'}]}", "activities.x y", "activity id 'x y' must be"),
    graph("taken name", "activities: {t: {type: trigger}, data: {type: hook}} #!\ntransitions: {t: [{to: data}]}", "activities.data", "can't be called 'data'"),
    graph("dotted name", "activities: {t: {type: trigger}, x.y: {type: hook}} #!\ntransitions: {t: [{to: x.y}]}", "activities.x.y", "references split at dots", "warning"),
    graph("unknown activity type", "activities:\n  t: {type: trigger}\n  x: {type: wroker} #!\ntransitions: {t: [{to: x}]}", "activities.x.type", "did you mean 'worker'?"),
    graph("old type", "activities:\n  t: {type: trigger}\n  x: {type: emit} #!\ntransitions: {t: [{to: x}]}", "activities.x.type", "a property (emit: true)"),
    graph("no type", "activities:\n  t: {type: trigger}\n  x: {title: x} #!\ntransitions: {t: [{to: x}]}", "activities.x", "`type` is missing"),
    graph("nothing", "activities:\n  t: {type: trigger}\n  x: #!\ntransitions: {t: [{to: x}]}", "activities.x", "the activity is empty"),
    graph("text as activity", "activities:\n  t: {type: trigger}\n  x: hook #!\ntransitions: {t: [{to: x}]}", "activities.x", "must be a mapping with a `type`, not 'hook'"),
]  # fmt: skip

TRANSITIONS = [
    graph("unknown from", "activities: {t: {type: trigger}, a: {type: hook}}\ntransitions:\n  t: [{to: a}]\n  b: [{to: a}] #!", "transitions.b", "there is no activity 'b'"),
    graph("unknown to", "activities: {t: {type: trigger}, weigh: {type: hook}}\ntransitions:\n  t: [{to: weigh}]\n  weigh: [{to: wiegh}] #!", "transitions.weigh[0].to", "did you mean 'weigh'?"),
    graph("to trigger", "activities: {t: {type: trigger}, a: {type: hook}}\ntransitions:\n  t: [{to: a}]\n  a: [{to: t}] #!", "transitions.a[0].to", "'t' is the trigger"),
    graph("circle", "activities: {t: {type: trigger}, a: {type: hook}, b: {type: hook}}\ntransitions:\n  t: [{to: a}]\n  a: [{to: b}]\n  b: [{to: a}] #!", "transitions.b[0].to", "circle: a → b → a; go back with a cycle"),
    graph("self", "activities: {t: {type: trigger}, a: {type: hook}}\ntransitions:\n  t: [{to: a}]\n  a: [{to: a}] #!", "transitions.a[0].to", "circle: a → a"),
    graph("far circle", "activities: {t: {type: trigger}, a: {type: hook}, b: {type: hook}}\ntransitions:\n  a: [{to: b}]\n  b: [{to: a}] #!", "transitions.b[0].to", "circle: a → b → a"),
    graph("two parents", "activities: {t: {type: trigger}, a: {type: hook}, b: {type: hook}, c: {type: hook}}\ntransitions:\n  t: [{to: a}, {to: b}]\n  a: [{to: c}]\n  b: [{to: c}] #!", "transitions.b[0].to", "'c' follows 'a' already"),
    graph("same twice", "activities: {t: {type: trigger}, a: {type: hook}}\ntransitions:\n  t:\n    - {to: a}\n    - {to: a, conditions: {code: 200}} #!", "transitions.t[1].to", "a second transition from 't' to 'a'"),
    graph("unreachable", "activities:\n  t: {type: trigger}\n  a: {type: hook} #!\n  b: {type: hook}\ntransitions:\n  a: [{to: b}]", "activities.a", "nothing leads to 'a'"),
    graph("after cycle", "activities: {t: {type: trigger}, a: {type: hook}, c: {type: cycle, ancestor: a}, b: {type: hook}}\ntransitions:\n  t: [{to: a}]\n  a: [{to: c}]\n  c: [{to: b}] #!", "transitions.c", "nothing can follow the cycle 'c'"),
    graph("after interrupt", "activities: {t: {type: trigger}, a: {type: interrupt}, b: {type: hook}}\ntransitions:\n  t: [{to: a}]\n  a: [{to: b}] #!", "transitions.a", "it interrupts its own job"),
    graph("code outside", "activities: {t: {type: trigger}, a: {type: hook}}\ntransitions:\n  t: [{to: a, code: 200}] #!", "transitions.t[0].code", "put it under `conditions`"),
    graph("low code", "activities: {t: {type: trigger}, a: {type: hook}}\ntransitions:\n  t: [{to: a, conditions: {code: [200, 42]}}] #!", "transitions.t[0].conditions.code[1]", "a code is a number from 100 to 999, not 42"),
    graph("text code", "activities: {t: {type: trigger}, a: {type: hook}}\ntransitions:\n  t: [{to: a, conditions: {code: ok}}] #!", "transitions.t[0].conditions.code", "not 'ok'"),
    graph("no codes", "activities: {t: {type: trigger}, a: {type: hook}}\ntransitions:\n  t: [{to: a, conditions: {code: []}}] #!", "transitions.t[0].conditions.code", "never followed"),
    graph("code of a trigger", "activities: {t: {type: trigger}, a: {type: hook}}\ntransitions:\n  t: [{to: a, conditions: {code: 404}}] #!", "transitions.t[0].conditions.code", "never holds: 't' is a trigger", "warning"),
    graph("gate", "activities: {t: {type: trigger}, a: {type: hook}}\ntransitions:\n  t: [{to: a, conditions: {gate: xor}}] #!", "transitions.t[0].conditions.gate", "must be 'and' or 'or'"),
    graph("no actual", "activities: {t: {type: trigger}, a: {type: hook}}\ntransitions:\n  t: [{to: a, conditions: {match: [{expected: 1}]}}] #!", "transitions.t[0].conditions.match[0]", "`actual` is missing"),
    graph("empty or", "activities: {t: {type: trigger}, a: {type: hook}}\ntransitions:\n  t: [{to: a, conditions: {gate: or, match: []}}] #!", "transitions.t[0].conditions.match", "never followed"),
    graph("list expected", "activities: {t: {type: trigger}, a: {type: hook}}\ntransitions:\n  t: [{to: a, conditions: {match: [{expected: [1], actual: '{t.output.data.x}'}]}}] #!", "transitions.t[0].conditions.match[0].expected", "equal nothing"),
    graph("rule expected", "activities: {t: {type: trigger}, a: {type: hook}}\ntransitions:\n  t: [{to: a, conditions: {match: [{expected: '{t.output.data.y}', actual: '{t.output.data.x}'}]}}] #!", "transitions.t[0].conditions.match[0].expected", "compared as plain text", "warning"),
    graph("constant actual", "activities: {t: {type: trigger}, a: {type: hook}}\ntransitions:\n  t: [{to: a, conditions: {match: [{expected: 1, actual: t.output.data.x}]}}] #!", "transitions.t[0].conditions.match[0].actual", "is the constant", "warning"),
    graph("condition reference", "activities: {t: {type: trigger}, a: {type: hook}}\ntransitions:\n  t: [{to: a, conditions: {match: [{expected: 1, actual: '{u.output.data.x}'}]}}] #!", "transitions.t[0].conditions.match[0].actual", "there is no activity 'u'"),
]  # fmt: skip

_HOOKED = "activities: {t: {type: trigger}, wait: {type: hook}, w: {type: worker, topic: w}}\ntransitions: {t: [{to: wait}, {to: w}]}\nhooks:\n"

HOOKS = [
    graph("hook target", _HOOKED + "  x.y: [{to: wiat, conditions: {match: [{expected: 1, actual: '{$self.hook.data.x}'}]}}] #!", "hooks.x.y[0].to", "did you mean 'wait'?"),
    graph("not a hook", _HOOKED + "  x.y: [{to: w, conditions: {match: [{expected: 1, actual: '{$self.hook.data.x}'}]}}] #!", "hooks.x.y[0].to", "'w' is of type worker"),
    graph("two rules", _HOOKED + "  x.y:\n    - {to: wait, conditions: {match: [{expected: 1, actual: '{$self.hook.data.x}'}]}}\n    - {to: wait, conditions: {match: [{expected: 2, actual: '{$self.hook.data.x}'}]}} #!", "hooks.x.y[1]", "a hook topic has one rule"),
    graph("no rule", _HOOKED + "  x.y: [] #!", "hooks.x.y", "the topic has no rule"),
    graph("two matches", _HOOKED + "  x.y: [{to: wait, conditions: {match: [{expected: 1, actual: '{$self.hook.data.x}'}, {expected: 1, actual: '{$self.hook.data.y}'}]}}] #!", "hooks.x.y[0].conditions.match", "exactly one `match`"),
    graph("no conditions", _HOOKED + "  x.y: [{to: wait}] #!", "hooks.x.y[0]", "`conditions` is missing"),
    graph("actual of a job", _HOOKED + "  x.y: [{to: wait, conditions: {match: [{expected: 1, actual: '{$job.metadata.jid}'}]}}] #!", "hooks.x.y[0].conditions.match[0].actual", "`actual` sees only the signal's payload"),
    graph("one hook, two topics", _HOOKED + "  x.y: [{to: wait, conditions: {match: [{expected: 1, actual: '{$self.hook.data.x}'}]}}]\n  x.z: [{to: wait, conditions: {match: [{expected: 1, actual: '{$self.hook.data.x}'}]}}] #!", "hooks.x.z[0].to", "'wait' waits for 'x.y' already"),
    graph("hook topic", _HOOKED + "  'x y': [{to: wait, conditions: {match: [{expected: 1, actual: '{$self.hook.data.x}'}]}}] #!", "hooks.x y", "topic 'x y' must be"),
    graph("code in hook rule", _HOOKED + "  x.y: [{to: wait, conditions: {code: 202, match: [{expected: 1, actual: '{$self.hook.data.x}'}]}}] #!", "hooks.x.y[0].conditions.code", "has no effect", "warning"),
]  # fmt: skip

ACTIVITIES = [
    graph("no topic", "activities:\n  t: {type: trigger}\n  a: {type: worker} #!\ntransitions: {t: [{to: a}]}", "activities.a", "`topic` is missing: the worker topic"),
    activity("misspelt property", "type: worker\ntopik: x #!", ".topik", "did you mean 'topic'?"),
    activity("of another type", "type: worker\ntopic: x\nsleep: 3 #!", ".sleep", "it belongs to hook"),
    activity("of the graph", "type: hook\nexpire: 3 #!", ".expire", "it belongs to the graph"),
    activity("maps in the open", "type: hook\nmaps: {a: 1} #!", ".maps", "put it under `input`, `output` or `job`"),
    activity("number as topic", "type: worker\ntopic: 5 #!", ".topic", "put it in quotes: '5'"),
    activity("bad topic", "type: worker\ntopic: a b #!", ".topic", "topic 'a b' must be"),
    activity("unquoted topic", "type: worker\ntopic: {t.output.data.x} #!", ".topic", "a reference needs quotes"),
    activity("two topics", "type: worker\ntopic: x\nsubtype: y #!", ".subtype", "`subtype` is an old name"),
    doubt("await nobody", "type: await\ntopic: demo.strat #!", ".topic", "did you mean 'demo.start'?"),
    activity("retry on await", "type: await\ntopic: demo.start\nretry: {'503': [1]} #!", ".retry", "an await is not repeated"),
    activity("retry code", "type: worker\ntopic: x\nretry: {'5000': [1]} #!", ".retry.5000", "a code is a number"),
    activity("retry count", "type: worker\ntopic: x\nretry: {'503': [9]} #!", ".retry.503[0]", "use a policy: {maximum_attempts: 10}"),
    activity("retry word", "type: worker\ntopic: x\nretry: {'503': [3, y]} #!", ".retry.503[1]", "only 'x'"),
    activity("retry no list", "type: worker\ntopic: x\nretry: {'503': 3} #!", ".retry.503", "a list with the number"),
    activity("retry text", "type: worker\ntopic: x\nretry: often #!", ".retry", "must be a table of codes"),
    activity("policy name", "type: worker\ntopic: x\nretry: {maximumAttempts: 3} #!", ".retry.maximumAttempts", "did you mean 'maximum_attempts'?"),
    activity("policy attempts", "type: worker\ntopic: x\nretry: {maximum_attempts: 0} #!", ".retry.maximum_attempts", "at least 1"),
    activity("policy interval", "type: worker\ntopic: x\nretry: {initial_interval: soon} #!", ".retry.initial_interval", "not a duration"),
    activity("policy codes", "type: worker\ntopic: x\nretry: {codes: [503, 5]} #!", ".retry.codes[1]", "from 100 to 999"),
    activity("timeout", "type: worker\ntopic: x\ntimeout: 0 #!", ".timeout", "must be more than 0"),
    activity("timeout reference", "type: worker\ntopic: x\ntimeout: '{t.output.data.x}' #!", ".timeout", "can't be a reference or pipe"),
    doubt("timeout without rule", "type: hook\ntimeout: 5 #!", ".timeout", "has no effect"),
    doubt("pending without rule", "type: hook\npending: 5 #!", ".pending", "has no effect"),
    activity("negative sleep", "type: hook\nsleep: -1 #!", ".sleep", "out of range"),
    doubt("sleep 0", "type: hook\nsleep: 0 #!", ".sleep", "sleeps not at all"),
    activity("hook topic by hand", "type: hook\nhook: {topic: x.y} #!", ".hook.topic", "has no rule for 'x.y'"),
    activity("emit text", "type: hook\nemit: 'yes' #!", ".emit", "must be true, false"),
    activity("title", "type: hook\ntitle: 3 #!", ".title", "must be text, not a number; put it in quotes"),
    activity("null in maps", "type: hook\njob: {maps: {a: }} #!", ".job.maps.a", "can't hold null"),
    activity("unquoted", "type: hook\njob: {maps: {a: {t.output.data.a}}} #!", ".job.maps.a", "a reference needs quotes: '{t.output.data.a}'"),
    activity("bare pipe", "type: hook\njob: {maps: {a: {'@pip': []}}} #!", ".job.maps.a.@pip", "did you mean '@pipe'?"),
    activity("bad pipe", "type: hook\njob: {maps: {a: {'@pipe': x}}} #!", ".job.maps.a", "'@pipe' holds a list"),
    activity("bad function", "type: hook\njob: {maps: {a: '{@nonsense.x}'}} #!", ".job.maps.a", "no family 'nonsense'"),
    doubt("doubtful function", "type: hook\njob: {maps: {a: '{@string.shout}'}} #!", ".job.maps.a", "no function"),
    doubt("beside a pipe", "type: hook\njob: {maps: {a: {'@pipe': [], b: 1}}} #!", ".job.maps.a.b", "is ignored"),
    doubt("list in maps", "type: hook\njob: {maps: {a: [1]}} #!", ".job.maps.a", "becomes a mapping"),
    doubt("interpolation", "type: hook\njob: {maps: {a: 'x {t.output.data.a}'}} #!", ".job.maps.a", "is plain text here"),
    doubt("ignored maps", "type: worker\ntopic: x\noutput: {maps: {a: 1}} #!", ".output.maps", "is never applied"),
    doubt("code beside maps", "type: worker\ntopic: x\noutput: {'422': {schema: {}}} #!", ".output.422", "is never read"),
    doubt("unused schema", "type: worker\ntopic: x\ninput: {schema: {type: objekt}} #!", ".input.schema.type", "not valid JSON Schema"),
    activity("used schema", "type: worker\ntopic: x\nvalidate: true\ninput: {schema: {type: objekt}} #!", ".input.schema.type", "not valid JSON Schema"),
    activity("remote schema", "type: worker\ntopic: x\nvalidate: true\ninput: {schema: {$ref: 'http://x.invalid/y'}} #!", ".input.schema.$ref", "must be a relative path"),
    activity("telemetry", "type: hook\ntelemetry: {a: {b: 1}} #!", ".telemetry.a", "must be one value"),
    doubt("join of one", "type: hook\njoin: all #!", ".join", "has no effect"),
    activity("join of none", "type: hook\njoin: 0 #!", ".join", "must be at least 1"),
    activity("each", "type: worker\ntopic: x\neach: 7 #!", ".each", "must be a list, a reference or a pipe"),
    activity("concurrency", "type: worker\ntopic: x\neach: [1]\nconcurrency: 0 #!", ".concurrency", "must be a whole number from 1"),
    activity("concurrency rule", "type: worker\ntopic: x\neach: [1]\nconcurrency: '{t.output.data.c}' #!", ".concurrency", "must be a whole number from 1"),
    doubt("concurrency alone", "type: worker\ntopic: x\nconcurrency: 5 #!", ".concurrency", "has no effect"),
    activity("threshold", "type: hook\nstatusThreshold: many #!", ".statusThreshold", "must be a number from 0"),
    activity("negative threshold", "type: hook\nstatusThreshold: -1 #!", ".statusThreshold", "must be a number from 0"),
    activity("ancestor unknown", "type: cycle\nancestor: x #!", ".ancestor", "there is no activity 'x'"),
    activity("ancestor a trigger", "type: cycle\nancestor: t #!", ".ancestor", "not to a trigger"),
    activity("cycle writes", "type: cycle\nancestor: t\njob: {maps: {}} #!", ".job", "a cycle writes nothing"),
    activity("interrupt throw", "type: interrupt\nthrow: never #!", ".throw", "must be true, false"),
    activity("interrupt reason", "type: interrupt\nreason: 5 #!", ".reason", "put it in quotes"),
    activity("interrupt code", "type: interrupt\ncode: 7 #!", ".code", "a code is a number"),
    doubt("interrupt topic", "type: interrupt\ntarget: x\ntopic: nobody.there #!", ".topic", "no graph of this app subscribes"),
    activity("signal subtype", "type: signal\ntopic: x\nsubtype: none #!", ".subtype", "must be 'all' or 'one'"),
    doubt("signal topic", "type: signal\nsubtype: one\ntopic: x.y #!", ".topic", "no graph has a rule for 'x.y'"),
    doubt("signal status", "type: signal\nsubtype: one\ntopic: '{t.output.data.t}'\ncode: 202\nstatus: success #!", ".status", "do not go together"),
    activity("signal status word", "type: signal\nsubtype: one\ntopic: '{t.output.data.t}'\nstatus: fine #!", ".status", "must be success, pending, error"),
    activity("signal all topic", "type: signal\nsubtype: all\nkey_name: a\nkey_value: b\nresolver: {maps: {data: {}}}\ntopic: '{t.output.data.t}' #!", ".topic", "must be a plain topic"),
]  # fmt: skip

REFERENCES = [
    activity("unknown activity", "type: hook\njob: {maps: {a: '{x.output.data.a}'}} #!", ".job.maps.a", "there is no activity 'x'"),
    activity("near self", "type: hook\njob: {maps: {a: '{$sefl.output.data.a}'}} #!", ".job.maps.a", "did you mean '$self'?"),
    activity("section", "type: hook\njob: {maps: {a: '{t.outptu.data.a}'}} #!", ".job.maps.a", "did you mean 'output'?"),
    activity("kind", "type: hook\njob: {maps: {a: '{t.output.date.a}'}} #!", ".job.maps.a", "did you mean 'data'?"),
    activity("field at once", "type: hook\njob: {maps: {a: '{t.output.sku}'}} #!", ".job.maps.a", "has data and metadata, not 'sku'"),
    activity("blanks", "type: hook\njob: {maps: {a: '{ t .output.data.a}'}} #!", ".job.maps.a", "remove the blanks"),
    activity("job kind", "type: hook\njob: {maps: {a: '{$job.meta.jid}'}} #!", ".job.maps.a", "$job has data and metadata"),
    activity("settings", "type: hook\njob: {maps: {a: '{$app.settings.x}'}} #!", ".job.maps.a", "settings have no 'x'"),
    activity("app", "type: hook\njob: {maps: {a: '{$app.version}'}} #!", ".job.maps.a", "$app has nothing but settings"),
    activity("hook root", "type: hook\njob: {maps: {a: '{$hook.data.x}'}} #!", ".job.maps.a", "only in the `actual`"),
    activity("in a pipe", "type: hook\njob: {maps: {a: {'@pipe': [[1, '{x.output.data.a}'], ['{@math.add}']]}}} #!", ".job.maps.a.@pipe[0][1]", "there is no activity 'x'"),
    activity("reference in telemetry", "type: hook\ntelemetry: {a: '{x.output.data.a}'} #!", ".telemetry.a", "there is no activity 'x'"),
    activity("in sleep", "type: hook\nsleep: '{x.output.data.a}' #!", ".sleep", "there is no activity 'x'"),
    doubt("graph root", "type: hook\njob: {maps: {a: '{$graph.x}'}} #!", ".job.maps.a", "$graph holds nothing"),
    doubt("item", "type: hook\njob: {maps: {a: '{$item.x}'}} #!", ".job.maps.a", "only inside '@reduce'"),
    doubt("input of another", "type: hook\njob: {maps: {a: '{t.input.data.x}'}} #!", ".job.maps.a", "use {t.output.data.x}"),
    doubt("own input", "type: worker\ntopic: x\njob: {maps: {a: '{$self.input.data.x}'}} #!", ".job.maps.a", "input is not kept"),
    doubt("hook of a trigger", "type: hook\njob: {maps: {a: '{t.hook.data.x}'}} #!", ".job.maps.a", "'t' is no hook"),
    doubt("hook without a rule", "type: hook\njob: {maps: {a: '{$self.hook.data.x}'}} #!", ".job.maps.a", "passes straight through"),
    doubt("activity metadata", "type: hook\njob: {maps: {a: '{t.output.metadata.atpp}'}} #!", ".job.maps.a", "did you mean 'atp'?"),
    doubt("job metadata", "type: hook\njob: {maps: {a: '{$job.metadata.jd}'}} #!", ".job.maps.a", "metadata has no 'jd'"),
    doubt("job data", "type: hook\njob: {maps: {abc: '{$job.data.abd}'}} #!", ".job.maps.abc", "did you mean 'abc'?"),
    graph(
        "sibling",
        "activities:\n  t: {type: trigger}\n  a: {type: hook}\n  b: {type: hook, job: {maps: {x: '{a.output.data.x}'}}} #!\ntransitions: {t: [{to: a}, {to: b}]}",
        "activities.b.job.maps.x",
        "'a' does not come before 'b'",
        "warning",
    ),
    graph(
        "undeclared",
        "input: {schema: {properties: {colour: {}}}}\nactivities:\n  t: {type: trigger, job: {maps: {x: '{$self.input.data.color}'}}} #!",
        "activities.t.job.maps.x",
        "did you mean 'colour'?",
        "warning",
    ),
    whole(
        "other graph",
        """\
        app:
          id: x
          version: '1'
          graphs:
            - {subscribes: x, activities: {t: {type: trigger}}}
            - {subscribes: y, activities: {u: {type: trigger, job: {maps: {a: '{t.output.data.a}'}}}}} #!
        """,
        "graphs[1].activities.u.job.maps.a",
        "'t' belongs to graphs[0] (x)",
    ),
]  # fmt: skip

_T = "activities:\n  t:\n    type: trigger\n    stats:\n"

STATS = [
    graph("id", _T + "      id: 5 #!", "activities.t.stats.id", "put it in quotes"),
    graph("job in id", _T + "      id: '{$job.data.x}' #!", "activities.t.stats.id", "not there yet", "warning"),
    graph("granularity", _T + "      granularity: daily #!", "activities.t.stats.granularity", "is no granularity"),
    graph("no granularity", _T + "      granularity: 0m #!", "activities.t.stats.granularity", "is no granularity"),
    graph("measure", _T + "      key: k\n      measures: [{measure: cuont, target: '{$self.input.data.x}'}] #!", "activities.t.stats.measures[0].measure", "did you mean 'count'?"),
    graph("target", _T + "      key: k\n      measures: [{measure: count, target: colour}] #!", "activities.t.stats.measures[0].target", "must be a reference"),
    graph("whole payload", _T + "      key: k\n      measures: [{measure: count, target: '{$self.input.data}'}] #!", "activities.t.stats.measures[0].target", "names no field"),
    graph("measures without key", _T + "      measures: [{measure: count, target: '{$self.input.data.x}'}] #!", "activities.t.stats.measures", "`stats.key` is missing", "warning"),
    graph("target elsewhere", _T + "      key: k\n      measures: [{measure: count, target: '{x.input.data.x}'}] #!", "activities.t.stats.measures[0].target", "there is no activity 'x'"),
]  # fmt: skip

FAULTS = [*YAML, *TOP, *GRAPH, *TRANSITIONS, *HOOKS, *ACTIVITIES, *REFERENCES, *STATS]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.name)
def test_a_seeded_fault_is_found_where_it_is(
    fault: Fault, judge: Callable[..., list[Finding]]
) -> None:
    line = next((n for n, t in enumerate(fault.text.splitlines(), 1) if t.endswith("#!")), 0)

    found = judge(fault.text)

    told = "\n".join(f"{f.severity} {f}" for f in found)
    hits = [f for f in found if fault.fragment in f.message]
    assert hits, told or "nothing was found"
    assert (hits[0].path, hits[0].severity) == (fault.path, fault.severity), told
    assert hits[0].file == "<text>"
    assert not line or hits[0].line == line, told
    others = [f for f in found if f.severity == "error" and f not in hits]
    assert not others, told


def test_there_are_faults_of_every_section() -> None:
    names = [f.name for f in FAULTS]

    assert len(names) == len(set(names)) >= 60
