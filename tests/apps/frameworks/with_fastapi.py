# SPDX-License-Identifier: Apache-2.0
"""What people use FastAPI for: typed parameters and bodies, dependencies, validation, its schema."""
from fastapi import Depends, FastAPI, HTTPException, WebSocket
from pydantic import BaseModel

application = FastAPI()


class Item(BaseModel):
    name: str
    price: float


async def paging(skip: int = 0, limit: int = 10):
    return {"skip": skip, "limit": limit}


@application.get("/items/{number}")
async def item(number: int, page: dict = Depends(paging)):
    if number == 404:
        raise HTTPException(status_code=404, detail="no such item")
    return {"number": number, **page}


@application.post("/items", status_code=201)
def create(made: Item):
    return made


@application.websocket("/echo")
async def echo(websocket: WebSocket):
    await websocket.accept()
    while True:
        await websocket.send_json(await websocket.receive_json())
