"""placeholder"""


class Transaction:
    def send(self, topic: object, spec: object, partition: int, fields: list[object]) -> None: ...
