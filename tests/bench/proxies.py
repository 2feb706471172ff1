"""The programs that are measured and what stands around them.

Each is a child process on one CPU, with a configuration generated into a
directory of its own, never in the background, stopped by its pid.
"""
import ctypes
import json
import os
import resource
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

import measure

PROXY_CPU, CLIENT_CPU = 0, 1
MASTER_KEY = "sk-bench-master-key"
# The same cipher for everybody: what a TLS row compares is the proxy.
CIPHER = "TLS_AES_128_GCM_SHA256"
LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def prepare(cpu, nofile):
    """Runs in the child, before exec."""
    os.sched_setaffinity(0, {cpu})
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if nofile:
        resource.setrlimit(resource.RLIMIT_NOFILE, (nofile, nofile))


class Child:
    def __init__(self, argv, cpu, folder, nofile=0, errors=None):
        self.argv = argv
        self.errors = errors or os.path.join(folder, "stderr")
        with open(self.errors, "wb") as errors:
            self.process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                preexec_fn=lambda: prepare(cpu, nofile),
            )

    def wait_for(self, is_ready):
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            if is_ready():
                return
            time.sleep(0.02)
        self.stop()
        with open(self.errors, errors="replace") as errors:
            raise SystemExit(f"{self.argv[0]} does not start:\n{errors.read()}")

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def accepts(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def write(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w") as f:
        f.write(text)
    return path


NGINX = """
daemon off;
{user}
worker_processes 1;
error_log stderr crit;
pid {folder}/nginx.pid;
events {{ worker_connections 12000; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream up {{
        server 127.0.0.1:{upstream};
        keepalive 256;
        keepalive_requests 1000000000;
        keepalive_timeout 600;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096 {listen};
        {server}
        client_max_body_size 0;
        client_body_buffer_size 256k;
        keepalive_requests 1000000000;
        keepalive_timeout 600;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_request_buffering off;
        proxy_buffering off;
        {proxy}
        # A small answer does not need a big buffer: nginx at its best in both.
        location / {{ proxy_pass {scheme}://up; }}
        location ~ /content$ {{
            proxy_buffer_size 256k;
            proxy_buffers 4 256k;
            proxy_pass {scheme}://up;
        }}
    }}
}}
"""

HAPROXY = """
global
    nbthread 1
    # Twice as many descriptors would do for the worst case, which is not here.
    maxconn 10400
    no strict-limits
    tune.bufsize 262144
    nosplice
    ssl-default-server-ciphersuites {cipher}
defaults
    mode http
    timeout connect 5s
    timeout client 600s
    timeout server 600s
    timeout http-keep-alive 600s
frontend front
    bind 127.0.0.1:{port} backlog 4096
    default_backend up
backend up
    http-reuse always
    server up 127.0.0.1:{upstream} pool-max-conn 256 {tls}
"""

def nginx_child(folder, cpu, **values):
    # The worker must be able to write where the runner can.
    values["user"] = "user root;" if os.getuid() == 0 else ""
    text = NGINX.format(folder=folder, **values)
    path = write(folder, "nginx.conf", text)
    argv = ["nginx", "-p", folder, "-e", "stderr", "-c", path]
    child = Child(argv, cpu, folder)
    child.wait_for(lambda: accepts(values["port"]))
    return child


class Proxy:
    """One that runs. `paths` says where its files are, once uploaded."""

    key = "none"

    def __init__(self, name, env, is_tls=False):
        self.name, self.env, self.is_tls = name, env, is_tls
        self.folder = env.folder(name)
        self.port = free_port()
        self.upstream = env.tls_port if is_tls else env.port
        self.ids = {}
        self.child = self.start()
        # nginx forks its worker before it listens to anybody.
        self.group = measure.tree(self.child.process.pid)

    def stop(self):
        self.child.stop()

    def path(self, size, content=False):
        return f"/v1/files/{self.ids[size]}" + ("/content" if content else "")


class Nginx(Proxy):
    def start(self):
        tls = (
            f"proxy_ssl_verify on; proxy_ssl_name localhost;"
            f"proxy_ssl_trusted_certificate {self.env.certificate};"
            f"proxy_ssl_protocols TLSv1.3;"
            f"proxy_ssl_conf_command Ciphersuites {CIPHER};"
        )
        return nginx_child(
            self.folder,
            PROXY_CPU,
            port=self.port,
            listen="",
            server="",
            upstream=self.upstream,
            scheme="https" if self.is_tls else "http",
            proxy=tls if self.is_tls else "",
        )


class Haproxy(Proxy):
    def start(self):
        tls = (
            f"ssl verify required ca-file {self.env.certificate} "
            "sni str(localhost) verifyhost localhost"
        )
        text = HAPROXY.format(
            port=self.port,
            upstream=self.upstream,
            cipher=CIPHER,
            tls=tls if self.is_tls else "",
        )
        path = write(self.folder, "haproxy.cfg", text)
        child = Child(["haproxy", "-db", "-f", path], PROXY_CPU, self.folder)
        child.wait_for(lambda: accepts(self.port))
        return child


class Copy(Proxy):
    def start(self):
        argv = [self.env.tool("copy"), str(self.port), str(self.upstream)]
        child = Child(argv, PROXY_CPU, self.folder)
        child.wait_for(lambda: accepts(self.port))
        return child


class Filemux(Proxy):
    def __init__(self, name, env, is_tls=False, log="warn", nofile=0):
        self.log, self.nofile = log, nofile
        super().__init__(name, env, is_tls)
        self.key = self.make_key()

    def config(self):
        scheme = "https" if self.is_tls else "http"
        provider = {
            "type": "openai",
            "base_url": f"{scheme}://127.0.0.1:{self.upstream}/v1",
            "api_key": "x",
        }
        if self.is_tls:
            provider["ca_file"] = self.env.certificate
        return {
            "listen": f"127.0.0.1:{self.port}",
            "workers": 1,
            "data_dir": self.folder,
            "master_key": MASTER_KEY,
            # Its own redis-server would be on the proxy's CPU.
            "redis": {"url": f"unix://{self.env.redis_socket}"},
            "log": {"level": self.log},
            "limits": {
                "max_file_bytes": "8GB",
                "idle_timeout": "600s",
                "max_connections": 20000,
            },
            "providers": {"up": provider},
            "routing": {"default": "up"},
            "batch_check": {"max_lines": 1000000},
        }

    def start(self):
        # JSON is YAML, so nothing has to be quoted by hand.
        path = write(self.folder, "config.yaml", json.dumps(self.config()))
        argv = [self.env.filemux, "--config", path]
        # Access lines are written, and kept nowhere.
        errors = os.devnull if self.log == "info" else None
        child = Child(argv, PROXY_CPU, self.folder, self.nofile, errors)
        child.wait_for(self.is_ready)
        return child

    def call(self, path, body=None):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {MASTER_KEY}",
                "Content-Type": "application/json",
            },
        )
        with urllib.request.urlopen(request, timeout=5) as reply:
            return reply.read()

    def is_ready(self):
        try:
            self.call("/health/readiness")
            return True
        except (OSError, urllib.error.URLError):
            return False

    def make_key(self):
        return json.loads(self.call("/key/generate", {}))["key"]


class Limited(Filemux):
    """With every limit set for key and team, and none of them reached."""

    LIMITS = {
        "rpm_limit": 100000000,
        "max_parallel_requests": 100000,
        "max_files": 1000000,
        "max_storage_bytes": "1TB",
        "max_upload_bytes_per_day": "1TB",
        "max_download_bytes_per_day": "1TB",
    }

    def make_key(self):
        team = json.loads(self.call("/team/new", {"team_alias": "a", **self.LIMITS}))
        wanted = {"team_id": team["team_id"], **self.LIMITS}
        return json.loads(self.call("/key/generate", wanted))["key"]


class Environment:
    """Directories, tools, certificate, and the servers on the client's CPU."""

    def __init__(self, top, build, filemux):
        self.top, self.build, self.filemux = top, build, filemux
        self.children = []
        self.redis = None
        self.port, self.tls_port = free_port(), 0
        self.redis_socket = os.path.join(top, "redis.sock")
        self.certificate = os.path.join(top, "certificate.pem")

    def start(self, has_tls):
        argv = [self.tool("upstream"), str(self.port)]
        self.add(argv, "upstream", lambda: accepts(self.port))
        if has_tls:
            self.start_tls()
        if self.filemux:
            self.start_redis()

    def folder(self, name):
        path = os.path.join(self.top, name)
        os.makedirs(path)
        return path

    def tool(self, name):
        return os.path.join(self.build, name)

    def add(self, argv, name, is_ready):
        child = Child(argv, CLIENT_CPU, self.folder(name))
        child.wait_for(is_ready)
        self.children.append(child)
        return child

    def start_tls(self):
        folder = self.folder("terminator")
        key = os.path.join(folder, "key.pem")
        subprocess.run(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256"
            " -nodes -days 2 -subj /CN=localhost"
            " -addext subjectAltName=DNS:localhost,IP:127.0.0.1".split()
            + ["-keyout", key, "-out", self.certificate],
            check=True,
            capture_output=True,
        )
        self.tls_port = free_port()
        server = (
            f"ssl_certificate {self.certificate}; ssl_certificate_key {key};"
            "ssl_protocols TLSv1.3;"
            f"ssl_conf_command Ciphersuites {CIPHER};"
        )
        child = nginx_child(
            folder,
            CLIENT_CPU,
            port=self.tls_port,
            listen="ssl",
            server=server,
            upstream=self.port,
            scheme="http",
            proxy="",
        )
        self.children.append(child)

    def start_redis(self):
        # No persistence: it is not what is measured, and shares the client's
        # CPU.
        argv = ["redis-server", "--port", "0"]
        argv += ["--unixsocket", self.redis_socket]
        argv += ["--save", "", "--appendonly", "no", "--dir", self.top]
        is_ready = lambda: os.path.exists(self.redis_socket)
        self.redis = self.add(argv, "redis", is_ready)

    def redis_seconds(self):
        if not self.redis:
            return 0
        return measure.cpu_seconds([self.redis.process.pid])

    def stop(self):
        for child in reversed(self.children):
            child.stop()
