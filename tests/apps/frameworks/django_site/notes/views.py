# SPDX-License-Identifier: Apache-2.0
"""/notes/: a form over the database · /download/: FileResponse of this source · /stream/N/ · /fail/"""
from django.forms import ModelForm
from django.http import FileResponse, StreamingHttpResponse
from django.shortcuts import redirect, render

from .models import Note


class NoteForm(ModelForm):
    class Meta:
        model = Note
        fields = ["title", "text"]


def notes(request):
    form = NoteForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        form.save()
        return redirect("/notes/")
    return render(request, "notes.html", {"form": form, "notes": Note.objects.order_by("id")},
                  status=422 if form.errors else 200)


def download(request):
    return FileResponse(open(__file__, "rb"), as_attachment=True)


def stream(request, count):
    return StreamingHttpResponse((f"line {number}\n" for number in range(count)),
                                 content_type="text/plain")


def fail(request):
    raise RuntimeError("meant to fail")
