"""The programs of the peers' own first pages, in our names.

Faust: the quick start (hello world), the tutorial "Count page views", the tutorial "Leader
election" (a timer over the fleet), "Basics" (word count by two agents), `take`. FastStream: the
first subscriber and publisher, and a batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from support import eventually

import hotmesh

NewApp = Callable[..., hotmesh.App]


async def test_faust_hello_world(new_app: NewApp) -> None:
    app = new_app("hello-world")
    greetings_topic = app.topic("greetings", value_type=str)
    printed: list[str] = []

    @app.agent(greetings_topic)
    async def print_greetings(greetings: Any) -> None:
        async for greeting in greetings:
            printed.append(greeting)

    @app.timer(0.1)
    async def produce() -> None:
        for i in range(10):
            await greetings_topic.send(value=f"hello {i}")

    async with app.running():
        await eventually(lambda: printed[:10] == [f"hello {i}" for i in range(10)])


async def test_faust_greetings_of_records(new_app: NewApp) -> None:
    app = new_app("hello-app")

    class Greeting(hotmesh.Record):
        from_name: str
        to_name: str

    topic = app.topic("hello-topic", value_type=Greeting)
    printed: list[str] = []

    @app.agent(topic)
    async def hello(greetings: Any) -> None:
        async for greeting in greetings:
            printed.append(f"Hello from {greeting.from_name} to {greeting.to_name}")

    @app.timer(interval="50ms")
    async def example_sender() -> None:
        await hello.cast(Greeting(from_name="Faust", to_name="you"))

    async with app.running():
        await eventually(lambda: printed)
    assert set(printed) == {"Hello from Faust to you"}


async def test_faust_count_page_views(new_app: NewApp) -> None:
    app = new_app("page_views".replace("_", "-"), partitions=4)

    class PageView(hotmesh.Record):
        id: str
        user: str

    page_view_topic = app.topic("page_views", value_type=PageView)
    page_views = app.table("page_views", default=int)

    @app.agent(page_view_topic)
    async def count_page_views(views: Any) -> None:
        async for view in views.group_by(PageView.id):
            page_views[view.id] += 1

    async with app.running():
        for page, user in (("foo", "bar"), ("foo", "baz"), ("bar", "bar")):
            await page_view_topic.send(PageView(page, user))

        async def are_counted() -> bool:
            return dict(await page_views.items()) == {"foo": 2, "bar": 1}

        await eventually(are_counted)


async def test_faust_word_count(new_app: NewApp) -> None:
    app = new_app("word-counts", partitions=4)
    posts_topic = app.topic("posts", value_type=str)
    word_counts = app.table("word_counts", default=int)
    words_topic = app.topic("words", value_type=str, key_type=str)

    @app.agent(posts_topic)
    async def shuffle_words(posts: Any) -> None:
        async for post in posts:
            for word in post.split():
                await count_words.send(key=word, value=word)

    @app.agent(words_topic)
    async def count_words(words: Any) -> None:
        async for word in words:
            word_counts[word] += 1

    async with app.running():
        await posts_topic.send_many(["The quick brown fox", "jumped over the brown dog"])

        async def are_counted() -> bool:
            found = dict(await word_counts.items())
            return sum(found.values()) == 9 and found["brown"] == 2

        await eventually(are_counted)


async def test_faust_windowed_table_and_take(new_app: NewApp) -> None:
    app = new_app("windows")
    views_topic = app.topic("views", value_type=str)
    views = app.table("views", default=int).tumbling(60.0, expires="1h")
    batches: list[int] = []
    deltas: list[tuple[int, int]] = []

    @app.agent(views_topic)
    async def count(stream: Any) -> None:
        async for url in stream:
            views[url] += 1
            deltas.append((views[url].value(), views[url].delta(60.0)))

    @app.agent(views_topic)
    async def batch(stream: Any) -> None:
        async for values in stream.take(100, within=0.1):
            batches.append(len(values))

    async with app.running():
        for _ in range(3):
            await views_topic.send("/", timestamp=1_000_000)
        await eventually(lambda: len(deltas) == 3 and sum(batches) == 3)
    assert deltas == [(1, 1), (2, 2), (3, 3)]


async def test_faust_leader_election_a_timer_over_the_fleet(new_app: NewApp) -> None:
    said: list[str] = []

    def make(name: str) -> hotmesh.App:
        app = new_app("leader-example")

        @app.timer("100ms", on_leader=True)
        async def publish_greetings() -> None:
            said.append(name)

        return app

    async with make("a").running(), make("b").running():
        await eventually(lambda: len(said) >= 5)
        first = make("c")
        async with first:
            ticks = await first.opened().connection.transport.execute(
                "HGET", first.opened().space.ticks("leader-example"), "publish_greetings"
            )
    assert int(ticks) % 100 == 0
    assert len(said) <= 60  # each moment was taken by one of them: ten a second


async def test_faststream_first_subscriber_and_publisher(new_app: NewApp) -> None:
    app = new_app("first")

    class User(hotmesh.Record):
        name: str
        user_id: int

    users = app.topic("in", value_type=User)
    out = app.topic("out", value_type=str)
    seen: list[str] = []

    @app.agent(users, sink=[out])
    async def handle(stream: Any) -> Any:
        async for user in stream:
            yield f"User: {user.user_id} - {user.name} registered"

    @app.agent(out)
    async def told(stream: Any) -> None:
        async for text in stream:
            seen.append(text)

    async with app.running():
        await users.send(User("john", 1))
        await eventually(lambda: seen == ["User: 1 - john registered"])


async def test_crontabs_tasks_and_hooks(new_app: NewApp) -> None:
    app = new_app("jobs", partitions=2)
    said: list[Any] = []

    @app.crontab("* * * * * *")
    async def each_second() -> None:
        said.append("cron")

    @app.task
    async def at_start() -> None:
        said.append("task")

    @app.task(on_leader=True)
    def once() -> None:
        said.append("first")

    app.on_start(lambda: said.append("start"))
    app.on_stop(lambda: said.append("stop"))
    app.on_assigned(lambda p: said.append(("assigned", p)))
    app.on_revoked(lambda p: said.append(("revoked", p)))

    async with app.running():
        wanted = {"start", "task", "first", "cron", ("assigned", 0), ("assigned", 1)}
        await eventually(lambda: wanted <= set(said))
    assert said[0] == "start" and said[-1] == "stop"
    assert {("revoked", 0), ("revoked", 1)} <= set(said)
