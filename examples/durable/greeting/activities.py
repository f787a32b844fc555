"""Activities: ordinary functions, which may fail."""

import random


async def greet(name: str) -> str:
    return f"Hello, {name}!"


async def saludar(nombre: str) -> str:
    if random.random() > 0.5:
        raise RuntimeError("Random error")
    return f"¡Hola, {nombre}!"
