"""An RTSP camera for tests: H.264 or MJPEG by GStreamer's RTSP server, on loopback.

Prints "ready" when it listens. Ends with its parent's pipe: reading stdin's end means that the test is gone.
"""

import argparse
import os
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gio, GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

parser = argparse.ArgumentParser()
parser.add_argument("--port", required=True)
parser.add_argument("--pattern", default="ball", help="of videotestsrc; smpte shows enough not to count as covered")
parser.add_argument("--size", default="160x120")
parser.add_argument("--then-size", help="changes to this size after --then-after seconds, in the running stream")
parser.add_argument("--then-after", type=float, default=2.0)
parser.add_argument("--frames-per-second", type=int, default=20)
parser.add_argument("--user")
parser.add_argument("--password")
parser.add_argument("--digest", action="store_true", help="takes the password by digest instead of basic")
parser.add_argument("--certificate", help="PEM with certificate and key: serves rtsps")
parser.add_argument("--protocol", choices=["udp", "tcp"], help="serves by this alone")
parser.add_argument("--lost-packets", type=float, default=0.0, help="the part of the packets that is lost on the way")
parser.add_argument("--mjpeg", action="store_true")
parser.add_argument("--with-audio", action="store_true")
arguments = parser.parse_args()


def caps(size):
    width, height = size.split("x")
    return f"video/x-raw,format=I420,width={width},height={height},framerate={arguments.frames_per_second}/1"


Gst.init(None)
encoded = (
    "jpegenc ! rtpjpegpay mtu=400"
    if arguments.mjpeg
    else "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=10 threads=1 ! rtph264pay mtu=400 config-interval=-1"
)
launch = (
    f"videotestsrc is-live=true pattern={arguments.pattern} ! capsfilter name=size caps={caps(arguments.size)} "
    f"! {encoded} ! identity name=pay0 drop-probability={arguments.lost_packets}"
)
if arguments.with_audio:
    launch = f"audiotestsrc is-live=true volume=0.1 ! alawenc ! rtppcmapay name=pay1 pt=8 {launch}"
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(f"( {launch} )")
factory.set_shared(True)
if arguments.protocol:
    factory.set_protocols(getattr(GstRtsp.RTSPLowerTrans, arguments.protocol.upper()))


def on_configure(_factory, media):
    def change():
        media.get_element().get_by_name("size").set_property("caps", Gst.Caps.from_string(caps(arguments.then_size)))

    if arguments.then_size:
        threading.Timer(arguments.then_after, change).start()


factory.connect("media-configure", on_configure)
server = GstRtspServer.RTSPServer.new()
server.set_address("127.0.0.1")
server.set_service(arguments.port)
if arguments.user or arguments.certificate:
    auth = GstRtspServer.RTSPAuth()
    role = "viewer"
    if arguments.user:
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", role)
        if arguments.digest:
            auth.add_digest(arguments.user, arguments.password, token)
            auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        else:
            auth.add_basic(GstRtspServer.RTSPAuth.make_basic(arguments.user, arguments.password), token)
            auth.set_supported_methods(GstRtsp.RTSPAuthMethod.BASIC)
    else:
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", role)
        auth.set_default_token(token)
    if arguments.certificate:
        auth.set_tls_certificate(Gio.TlsCertificate.new_from_file(arguments.certificate))
    server.set_auth(auth)
    permissions = GstRtspServer.RTSPPermissions()
    for permission in ("media.factory.access", "media.factory.construct"):
        permissions.add_permission_for_role(role, permission, True)
    factory.set_permissions(permissions)
server.get_mount_points().add_factory("/front", factory)
if server.attach(None) == 0:
    raise SystemExit(f"port {arguments.port} cannot be had")
print("ready", flush=True)


def wait_for_the_end():
    while os.read(0, 1024):
        pass
    os._exit(0)


threading.Thread(target=wait_for_the_end, daemon=True).start()
GLib.MainLoop().run()
