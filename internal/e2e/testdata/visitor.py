"""paho-mqtt clients that do what they are told.

Each line on standard input is a command in JSON for the client that "id"
names, answered by one line on standard output; what is received is written as
a line in between. The command connect says where to: host, port, version,
websocket, ca.
"""
import json
import queue
import sys
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

PATIENCE = 30
writing = threading.Lock()
clients = {}


def say(thing):
    with writing:
        print(json.dumps(thing), flush=True)


def on_message(_client, name, m):
    say({"id": name, "message": {"topic": m.topic, "payload": m.payload.decode(), "qos": m.qos, "retain": bool(m.retain)}})


def make(command):
    name, version = command["id"], command["version"]
    transport = "websockets" if command["websocket"] else "tcp"
    kind = {} if version == mqtt.MQTTv5 else {"clean_session": command["clean"]}
    c = mqtt.Client(client_id=name, userdata=name, protocol=version, transport=transport, **kind)
    if command["websocket"]:
        c.ws_set_options(path="/mqtt")
    if command["ca"]:
        c.tls_set(ca_certs=command["ca"])
    c.on_message = on_message
    return c


def connect(command):
    clean, will, version = command["clean"], command.get("will"), command["version"]
    client = clients[command["id"]] = make(command)
    answers = queue.Queue()
    if version == mqtt.MQTTv5:
        client.on_connect = lambda _c, _d, flags, rc, _p: answers.put((flags, rc))
    else:
        client.on_connect = lambda _c, _d, flags, rc: answers.put((flags, rc))
    if will:
        client.will_set(will["topic"], will["payload"], will["qos"], will["retain"])
    extra = {}
    if version == mqtt.MQTTv5:
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 0 if clean else 3600
        extra = {"clean_start": clean, "properties": properties}
    client.connect(command["host"], command["port"], keepalive=60, **extra)
    client.loop_start()
    flags, rc = answers.get(timeout=PATIENCE)
    if rc != 0:
        raise RuntimeError("refused: %s" % rc)
    return {"present": bool(flags["session present"])}


def subscribe(command):
    client, answers = clients[command["id"]], queue.Queue()
    # Version 5 has reason codes and properties where the others have integers.
    client.on_subscribe = lambda _c, _d, _m, codes, *_p: answers.put([getattr(c, "value", c) for c in codes])
    client.subscribe(command["filter"], command["qos"])
    codes = answers.get(timeout=PATIENCE)
    if codes != [command["qos"]]:
        raise RuntimeError("granted %s" % codes)
    return {}


def publish(command):
    m = command["message"]
    info = clients[command["id"]].publish(m["topic"], m["payload"], m["qos"], m["retain"])
    info.wait_for_publish(PATIENCE)
    if not info.is_published():
        raise RuntimeError("not acknowledged in time")
    return {}


def disconnect(command):
    client = clients[command["id"]]
    client.disconnect()
    client.loop_stop()
    return {}


commands = {"connect": connect, "subscribe": subscribe, "publish": publish, "disconnect": disconnect}
for line in sys.stdin:
    command = json.loads(line)
    try:
        answer = commands[command["do"]](command)
    except Exception as e:  # the test shall say what went wrong
        answer = {"error": "%s: %s" % (type(e).__name__, e)}
    say({"answer": answer})
