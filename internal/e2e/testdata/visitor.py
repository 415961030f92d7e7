"""A paho-mqtt client that does what it is told.

Each line on standard input is a command in JSON, answered by one line on
standard output; what is received is written as a line in between. The first
argument is a JSON object: host, port, id, version, websocket, ca.
"""
import json
import queue
import sys
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

PATIENCE = 30
settings = json.loads(sys.argv[1])
version = settings["version"]
writing = threading.Lock()
client = None


def say(thing):
    with writing:
        print(json.dumps(thing), flush=True)


def on_message(_client, _data, m):
    say({"message": {"topic": m.topic, "payload": m.payload.decode(), "qos": m.qos, "retain": bool(m.retain)}})


def make(clean):
    transport = "websockets" if settings["websocket"] else "tcp"
    kind = {} if version == mqtt.MQTTv5 else {"clean_session": clean}
    c = mqtt.Client(client_id=settings["id"], protocol=version, transport=transport, **kind)
    if settings["websocket"]:
        c.ws_set_options(path="/mqtt")
    if settings["ca"]:
        c.tls_set(ca_certs=settings["ca"])
    c.on_message = on_message
    return c


def connect(command):
    global client
    clean, will = command["clean"], command.get("will")
    client = make(clean)
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
    client.connect(settings["host"], settings["port"], keepalive=60, **extra)
    client.loop_start()
    flags, rc = answers.get(timeout=PATIENCE)
    if rc != 0:
        raise RuntimeError("refused: %s" % rc)
    return {"present": bool(flags["session present"])}


def subscribe(command):
    answers = queue.Queue()
    if version == mqtt.MQTTv5:
        client.on_subscribe = lambda _c, _d, _m, codes, _p: answers.put([c.value for c in codes])
    else:
        client.on_subscribe = lambda _c, _d, _m, codes: answers.put(list(codes))
    client.subscribe(command["filter"], command["qos"])
    codes = answers.get(timeout=PATIENCE)
    if codes != [command["qos"]]:
        raise RuntimeError("granted %s" % codes)
    return {}


def publish(command):
    m = command["message"]
    info = client.publish(m["topic"], m["payload"], m["qos"], m["retain"])
    info.wait_for_publish(PATIENCE)
    if not info.is_published():
        raise RuntimeError("not acknowledged in time")
    return {}


def disconnect(_command):
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
