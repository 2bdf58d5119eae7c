"""Users: load.py ADDRESS HOST CLIENTS PAUSE KEY asks until a line comes on standard input, then prints what it
counted as JSON.

Two of three read, one writes; half keep their connection, half make a new one each time. A failure is any status of
500 and above, any status that
the request cannot explain, and any connection that ends early.
"""
import http.client
import json
import sys
import threading
import time

address, host, number, pause, key = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), sys.argv[5]
ended, guard = threading.Event(), threading.Lock()
count = {"good": 0, "bad": [], "longest": 0.0, "written": []}


def client(which: int) -> None:
    """One user"""
    connection = None
    while not ended.is_set():
        began, fault = time.monotonic(), ""
        write = which % 3 == 2
        body = json.dumps({"name": "A user", "email": f"user{which}@example.com",
                           "notes": "hello from the load"}) if write else None
        try:
            connection = connection or http.client.HTTPConnection(address, 8080, timeout=30)
            headers = {"Host": host, "X-API-Key": key, "Content-Type": "application/json"}
            connection.request("POST" if write else "GET", "/contacts" if which % 3 else "/documents", body=body,
                               headers=headers)
            answer = connection.getresponse()
            content = answer.read()
            if answer.status == 201:
                count["written"].append(json.loads(content)["id"])
            fault = "" if answer.status in (200, 201) else str(answer.status)
        except (OSError, http.client.HTTPException) as error:
            fault, connection = repr(error), None
        with guard:
            count["longest"] = max(count["longest"], time.monotonic() - began)
            if fault:
                count["bad"].append(f"{time.time():.1f} {fault}")
            else:
                count["good"] += 1
        if which % 2 and connection:
            connection.close()
            connection = None
        time.sleep(pause)


threads = [threading.Thread(target=client, args=[each]) for each in range(number)]
for each in threads:
    each.start()
sys.stdin.readline()
ended.set()
for each in threads:
    each.join()
print(json.dumps(count))
